"""The container files: valid by the compose specification, and set up so that nothing is open or cut off."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from qmig.broker.sealing import SECRET_VARIABLE
from qmig.broker.url import BROKER_VARIABLE
from qmig.cli import qmig
from qmig.coordinator.follow import STOP_SECONDS
from qmig.rpc.connection import CALL_TIMEOUT

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(COMPOSE)["services"]
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return DOCKERFILE.read_text()


def test_compose_file_is_valid_by_the_compose_specification() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_part_of_a_fleet_is_there(services: dict[str, Any]) -> None:
    assert set(services) == {"redis", "source", "target", "milvus", "worker", "flower", "qmig"}


def test_every_image_is_pinned_to_a_version(services: dict[str, Any], dockerfile: str) -> None:
    images = [service["image"] for service in services.values()] + re.findall(r"^FROM (\S+)", dockerfile, re.M)
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+", image), image


def test_data_outlives_the_containers(services: dict[str, Any]) -> None:
    declared = set(YAML(typ="safe").load(COMPOSE)["volumes"])
    mounted = {name: volume.split(":")[0] for name in declared for volume in services[name]["volumes"]}
    assert mounted == {name: name for name in declared}


def test_nothing_is_published_beyond_the_host(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    for port in ports:
        assert port.startswith("127.0.0.1:"), port


def test_every_server_says_whether_it_is_healthy(services: dict[str, Any]) -> None:
    for name in ("redis", "source", "target", "milvus", "worker", "flower"):
        assert services[name]["healthcheck"]["test"], name


def test_milvus_needs_no_other_container_and_starts_where_it_is_asked_for(services: dict[str, Any]) -> None:
    milvus = services["milvus"]
    assert milvus["profiles"] == ["milvus"]
    assert "depends_on" not in milvus
    assert (milvus["environment"]["ETCD_USE_EMBED"], milvus["environment"]["COMMON_STORAGETYPE"]) == ("true", "local")
    (mounted,) = milvus["configs"]
    assert mounted["target"] == milvus["environment"]["ETCD_CONFIG_PATH"]
    etcd = YAML(typ="safe").load(YAML(typ="safe").load(COMPOSE)["configs"][mounted["source"]]["content"])
    assert "127.0.0.1" in etcd["listen-client-urls"]


def test_qdrant_is_asked_without_tools_that_its_image_lacks(services: dict[str, Any]) -> None:
    for name in ("source", "target"):
        test = " ".join(services[name]["healthcheck"]["test"])
        assert "/dev/tcp/127.0.0.1/6333" in test
        assert not re.search(r"\b(curl|wget)\b", test)


def test_parts_start_when_what_they_need_is_healthy(services: dict[str, Any]) -> None:
    for name, needed in {"worker": {"redis"}, "flower": {"redis"}, "qmig": {"redis", "source", "target"}}.items():
        dependencies = services[name]["depends_on"]
        assert set(dependencies) == needed
        assert all(one["condition"] == "service_healthy" for one in dependencies.values())


def test_every_part_of_qmig_is_one_image_with_broker_and_secret(services: dict[str, Any]) -> None:
    parts = [services[name] for name in ("worker", "flower", "qmig")]
    assert len({part["image"] for part in parts}) == 1
    for part in parts:
        assert "redis:6379" in part["environment"][BROKER_VARIABLE]
        assert SECRET_VARIABLE in part["environment"]


def test_redis_has_a_password_that_nobody_forgets_to_set(services: dict[str, Any]) -> None:
    configuration = YAML(typ="safe").load(COMPOSE)["configs"]["redis"]["content"]
    assert "requirepass ${REDIS_PASSWORD:?" in configuration
    assert "${REDIS_PASSWORD:?" in services["worker"]["environment"][BROKER_VARIABLE]


def test_commands_that_containers_run_exist(services: dict[str, Any]) -> None:
    worker = services["worker"]["command"]
    known = qmig.get_command(None, worker[0])  # type: ignore[arg-type]
    assert known is not None
    options = {name for parameter in known.params for name in parameter.opts}
    assert {argument for argument in worker if argument.startswith("--")} <= options


def test_workers_can_be_scaled(services: dict[str, Any]) -> None:
    worker = services["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker
    assert "hostname" not in worker


def test_a_batch_in_flight_may_end_before_a_container_is_killed(services: dict[str, Any], dockerfile: str) -> None:
    assert "STOPSIGNAL SIGTERM" in dockerfile
    assert _seconds(services["worker"]["stop_grace_period"]) > CALL_TIMEOUT
    assert _seconds(services["qmig"]["stop_grace_period"]) > STOP_SECONDS


def test_image_runs_qmig_under_an_init_and_not_as_root(dockerfile: str) -> None:
    assert re.search(r'^ENTRYPOINT \["/usr/bin/tini", "--", "qmig"\]$', dockerfile, re.M)
    last_stage = dockerfile[dockerfile.rindex("\nFROM ") :]
    user = re.search(r"^USER (\d+)$", last_stage, re.M)
    assert user is not None
    assert f"--uid {user[1]} " in last_stage
    assert int(user[1]) > 0


def test_the_packages_are_a_layer_that_qmigs_own_changes_leave_alone(dockerfile: str) -> None:
    steps = re.findall(r"^(?:COPY|RUN) .*(?:\n +.*)*", dockerfile, re.M)
    requirements = next(step for step in steps if "--requirement pyproject.toml --extra embedded" in step)
    (qmig_itself,) = (step for step in steps if step.endswith("--no-deps ."))
    copied_before = " ".join(step for step in steps[: steps.index(requirements)] if step.startswith("COPY"))
    assert copied_before == "COPY pyproject.toml constraints.txt ./"
    assert steps.index("COPY qmig qmig") < steps.index(qmig_itself)


def test_every_package_in_the_image_is_pinned_and_its_hash_is_checked(dockerfile: str) -> None:
    installs = re.findall(r"pip install (.*?)(?: &&|$)", re.sub(r"\\\n *", "", dockerfile), re.M)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or install.endswith("--no-deps .")
    assert "--constraint constraints.txt" in installs[1]
    extract = re.search(r"RUN (sed .+ constraints\.txt) > uv\.txt", dockerfile)
    assert extract is not None
    extracted = subprocess.run(["sh", "-c", extract[1]], cwd=ROOT, check=True, capture_output=True, text=True)
    first, *hashes = extracted.stdout.replace("\\\n", "").split()
    assert re.fullmatch(r"uv==[\d.]+", first)
    assert hashes
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes)


def test_image_is_built_from_files_that_reach_the_builder(dockerfile: str) -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M):
        for name in copied.split():
            assert name in let_in
            assert (ROOT / name).exists()


def _seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration[:-1])
