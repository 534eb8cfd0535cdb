"""deploy/kubernetes: valid by Kubernetes' schemas, and set up so that nothing is open, unpinned or cut off."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from kombu.transport.redis import Channel
from ruamel.yaml import YAML

from qmig.broker.app import app
from qmig.broker.fleet import NORMAL
from qmig.broker.queues import queue_of
from qmig.broker.registry import MIGRATIONS
from qmig.broker.sealing import SECRET_VARIABLE
from qmig.broker.url import BROKER_VARIABLE
from qmig.cli import qmig
from qmig.rpc.connection import CALL_TIMEOUT

DIRECTORY = Path(__file__).parents[3] / "deploy" / "kubernetes"
KUBERNETES = "1.30"
Manifest = dict[str, Any]


def load(name: str) -> list[Manifest]:
    return list(YAML(typ="safe").load_all(DIRECTORY / name))


FILES = sorted(path.name for path in DIRECTORY.glob("*.yaml"))
MANIFESTS = [manifest for name in FILES if name != "kustomization.yaml" for manifest in load(name)]
SPECS = [one["spec"]["template"]["spec"] for one in MANIFESTS if "template" in one.get("spec", {})]
CONTAINERS = [container for spec in SPECS for container in spec["containers"]]


def named(name: str, kind: str = "Deployment") -> Manifest:
    (found,) = (one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def container(name: str) -> Manifest:
    (found,) = (one for one in CONTAINERS if one["name"] == name)
    return found


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_manifest_is_valid_by_kubernetes_own_schema(manifest: Manifest) -> None:
    if manifest["apiVersion"].startswith("keda.sh/"):
        assert manifest["kind"] in ("ScaledObject", "TriggerAuthentication")
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_kustomization_has_the_broker_the_fleet_and_flower() -> None:
    (kustomization,) = load("kustomization.yaml")
    assert kustomization["resources"] == ["redis.yaml", "worker.yaml", "flower.yaml"]
    (image,) = kustomization["images"]
    assert container("migration")["image"] == f"{image['newName']}:{image['newTag']}"
    assert {one["image"] for one in CONTAINERS} == {"qmig", container("migration")["image"], "redis:7.4.2-alpine"}


def test_nothing_runs_as_root_or_may_become_root_or_write_into_its_image() -> None:
    for spec in SPECS:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
    for one in CONTAINERS:
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_secrets_come_from_the_secret_alone() -> None:
    (secret,) = load("secret.example.yaml")
    assert set(secret["stringData"].values()) == {"REPLACE-ME"}
    for one in CONTAINERS:
        for variable in one["env"]:
            if "value" in variable:
                assert variable == {
                    "name": BROKER_VARIABLE,
                    "value": "redis://:$(REDIS_PASSWORD)@redis:6379/0",
                }, variable
            else:
                reference = variable["valueFrom"]["secretKeyRef"]
                assert reference["name"] == secret["metadata"]["name"]
                assert reference["key"] in secret["stringData"]


def test_every_part_of_qmig_knows_the_broker_and_those_that_need_it_the_secret() -> None:
    for name in ("worker", "flower", "migration"):
        assert BROKER_VARIABLE in {variable["name"] for variable in container(name)["env"]}
    for name in ("worker", "migration"):
        assert SECRET_VARIABLE in {variable["name"] for variable in container(name)["env"]}
    # Kubernetes expands a variable only if it is defined before the URL.
    for name in ("worker", "flower", "migration"):
        order = [variable["name"] for variable in container(name)["env"]]
        assert order.index("REDIS_PASSWORD") < order.index(BROKER_VARIABLE)


@pytest.mark.parametrize("name", ["worker", "flower", "migration"])
def test_commands_that_containers_run_exist(name: str) -> None:
    command, *arguments = container(name)["args"]
    known = qmig.get_command(None, command)  # type: ignore[arg-type]
    assert known is not None
    options = {option for parameter in known.params for option in parameter.opts}
    assert {argument.partition("=")[0] for argument in arguments if argument.startswith("--")} <= options


def test_flower_asks_for_a_login_and_no_service_of_its_name_changes_its_options() -> None:
    assert "FLOWER_BASIC_AUTH" in {variable["name"] for variable in container("flower")["env"]}
    # Services are announced as variables such as $FLOWER_PORT, which Flower would read.
    assert named("flower")["spec"]["template"]["spec"]["enableServiceLinks"] is False
    assert all(one["spec"].get("type", "ClusterIP") == "ClusterIP" for one in MANIFESTS if one["kind"] == "Service")


def test_a_batch_in_flight_may_end_before_a_pod_is_killed() -> None:
    assert named("worker")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > CALL_TIMEOUT


def test_every_server_and_worker_is_probed_and_has_a_place() -> None:
    for name in ("redis", "worker", "flower"):
        assert {"livenessProbe", "readinessProbe"} <= set(container(name))
    for one in CONTAINERS:
        assert {"cpu", "memory"} == set(one["resources"]["requests"])
        assert set(one["resources"]["limits"]) == {"memory"}


def test_a_worker_is_not_restarted_while_the_broker_is_unavailable() -> None:
    *_, probe = container("worker")["livenessProbe"]["exec"]["command"]
    assert re.match(r"there=\$\(qmig workers\) \|\| exit 0;", probe)


def test_fleet_follows_the_lists_that_qmig_keeps_in_redis() -> None:
    spec = named("worker", "ScaledObject")["spec"]
    queue = queue_of("00000000")
    lists = {trigger["name"]: trigger["metadata"]["listName"] for trigger in spec["triggers"]}
    assert "unacked_key" not in app.conf.broker_transport_options
    assert lists == {
        "urgent": queue,
        "waiting": f"{queue}\x06\x16{NORMAL}",
        "running": Channel.unacked_key,
        "migrations": MIGRATIONS + queue,
    }
    modifiers = spec["advanced"]["scalingModifiers"]
    assert set(lists) == set(re.findall(r"[a-z]{4,}", modifiers["formula"]))
    assert modifiers["target"] == container("worker")["args"][container("worker")["args"].index("--concurrency") + 1]
    assert spec["scaleTargetRef"]["name"] == named("worker")["metadata"]["name"]
    # A number of replicas in the Deployment would replace KEDA's number at the next `kubectl apply`.
    assert "replicas" not in named("worker")["spec"]


@pytest.mark.parametrize(
    ("migrations", "urgent", "waiting", "running", "wanted"),
    [(0, 0, 0, 0, 0), (0, 0, 0, 4, 0), (1, 0, 0, 0, 1), (1, 1, 20, 6, 27), (2, 0, 0, 3, 3)],
)
def test_workers_stay_for_what_waits_and_what_runs(
    migrations: int, urgent: int, waiting: int, running: int, wanted: float
) -> None:
    formula = named("worker", "ScaledObject")["spec"]["advanced"]["scalingModifiers"]["formula"]
    lengths = {"migrations": migrations, "urgent": urgent, "waiting": waiting, "running": running}
    assert eval(formula, {"__builtins__": {"min": min, "max": max}}, lengths) == wanted
