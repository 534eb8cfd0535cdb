"""The page Migrations in Flower, without a browser: who may see it, who may act on it, and qmig's metrics."""

import base64
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.ledger.records import State
from qmig.monitor.flower.metrics import MIGRATION_METRICS, WORKERS
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.flower import flower_process, until_it_hears
from tests.support.migrations import (
    LEISURELY,
    POINTS,
    SLOWLY,
    chunks_of,
    fill_source,
    finish,
    own_fleet,
    record_of,
    start,
    state_of,
    until_copied,
    until_state,
)
from tests.support.refusals import assert_refused
from tests.support.waiting import PATIENCE, until

USER = "operator:geheim"


@dataclass
class Client:
    """Talks to a Flower as a browser does, with the cookies that it got."""

    url: str
    credentials: str | None = USER
    cookie: str = ""

    def get(self, path: str) -> str:
        with self._open(urllib.request.Request(self.url + path)) as answer:
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                self.cookie = cookie.partition(";")[0]
            return str(answer.read().decode())

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def post(self, path: str, token: bool = True, **fields: str) -> int:
        """The answer's status."""
        request = urllib.request.Request(self.url + path, data=urllib.parse.urlencode(fields).encode())
        if token:
            request.add_header("Cookie", self.cookie)
            request.add_header("X-XSRFToken", self.cookie.partition("=")[2])
        return int(self._open(request).status)

    def refusal(self, path: str, **fields: Any) -> tuple[int, str]:
        """The status and the text of a refused POST."""
        with pytest.raises(urllib.error.HTTPError) as refused:
            self.post(path, **fields)
        return refused.value.code, refused.value.read().decode()

    def _open(self, request: urllib.request.Request) -> Any:
        if self.credentials is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(self.credentials.encode()).decode())
        return urllib.request.urlopen(request, timeout=PATIENCE)


def env(broker: str, ends: Ends | None = None, **more: str) -> dict[str, str]:
    target = {} if ends is None else {"QMIG_TARGET_URL": ends.target.endpoint.url}
    return {"QMIG_BROKER_URL": broker, "FLOWER_UNAUTHENTICATED_API": "", **target, **more}


def ledger_of(ends: Ends) -> list[str]:
    return ["--migration-offsets-collection-name", ends.ledger]


@pytest.fixture
def client(fleet: str, ends: Ends) -> Iterator[Client]:
    """A Flower on the shared fleet, with a target and authentication."""
    fill_source(ends)
    with flower_process(*ledger_of(ends), env=env(fleet, ends, FLOWER_BASIC_AUTH=USER)) as url:
        yield Client(url)


def only(client: Client) -> dict[str, Any] | None:
    """Wait until the feed has the only migration, and return it."""
    migrations: list[dict[str, Any]] = client.json("/migrations/data")["migrations"]
    assert len(migrations) <= 1
    return migrations[0] if migrations else None


def seen(client: Client, state: str) -> dict[str, Any]:
    """Wait until the only migration is shown in this state, and return it."""
    until(lambda: (only(client) or {}).get("state") == state, f"the page showing it {state}")
    found = only(client)
    assert found is not None
    return found


def test_the_page_stands_in_flowers_navigation_on_every_page(client: Client) -> None:
    for path in ("/workers", "/tasks", "/broker", "/migrations"):
        assert re.search(r'href="/migrations"[^>]*>Migrations</a>', client.get(path))


def test_the_page_shows_the_status_and_the_history_of_a_migration(
    client: Client, ends: Ends, qmig: Run, fleet: str
) -> None:
    running = start(ends, *LEISURELY, broker=fleet)
    seen(client, State.RUNNING)
    finish(running)
    shown = seen(client, State.DONE)

    history = shown.pop("history")
    assert (
        json.loads(qmig("status", "--target-url", ends.target.endpoint.url, *ledger_of(ends), "--json").stdout)
        == shown
    )
    assert len(history) >= 2
    assert history[-1][1] == POINTS


def test_a_chunk_leads_to_its_task(client: Client, ends: Ends, fleet: str) -> None:
    until_it_hears(client.url, USER)
    running = start(ends, *SLOWLY, broker=fleet)
    finish(running)
    migration = seen(client, State.DONE)["id"]

    for chunk in chunks_of(ends):
        path = f"/migrations/{migration}/chunks/{chunk.index}"
        until(lambda path=path: client.json(path)["task"] is not None, "Flower hearing of the task")
        shown = client.json(path)
        assert (shown["points"], shown["state"]) == (chunk.acknowledged, "done")
        task = client.get(f"/task/{shown['task']}")
        assert f"chunk {chunk.index + 1}/4 · ids " in task
        assert f"{ends.source_name} → {ends.target_name}" in task


def test_paused_throttled_resumed_and_cancelled_from_the_page(client: Client, ends: Ends) -> None:
    with own_fleet() as (broker, _):
        running = start(ends, *SLOWLY, "--max-rate", "300", broker=broker.url)
        until_copied(ends, 100)
        actions = f"/migrations/{seen(client, State.RUNNING)['id']}/"
        client.get("/migrations")

        assert client.post(actions + "pause") == 204
        assert state_of(ends) == State.PAUSED
        assert client.refusal(actions + "pause")[0] == 409
        assert client.post(actions + "throttle", max_rate="200") == 204
        assert client.post(actions + "resume") == 204
        record = record_of(ends)
        assert record is not None
        assert (record.state, record.max_rate) == (State.RUNNING, 200)
        assert client.post(actions + "throttle", max_rate="0") == 204
        assert "a whole number of points a second" in client.refusal(actions + "throttle", max_rate="fast")[1]
        assert client.post(actions + "cancel") == 204
        until_state(ends, State.CANCELLED)
        running.stop(timeout=60)


def test_an_action_needs_flowers_token(client: Client, ends: Ends, plan_only: Any) -> None:
    plan_only("-c")
    action = f"/migrations/{seen(client, State.STOPPED)['id']}/throttle"

    assert client.refusal(action, token=False, max_rate="5")[0] == 403
    client.get("/migrations")
    assert client.post(action, max_rate="5") == 204
    record = record_of(ends)
    assert record is not None
    assert record.max_rate == 5


def test_with_authentication_nothing_is_shown_without_it(client: Client) -> None:
    anonymous = Client(client.url, credentials=None)

    for path in ("/migrations", "/migrations/data", "/migrations/00000000-0000-0000-0000-000000000000/chunks/0"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            anonymous.get(path)


def test_without_authentication_the_page_allows_no_actions(ends: Ends, fleet: str, plan_only: Any) -> None:
    fill_source(ends)
    plan_only("-c")
    with flower_process(*ledger_of(ends), env=env(fleet, ends)) as url:
        client = Client(url, credentials=None)
        assert "Read-only: to pause, resume, throttle or cancel here, Flower needs authentication" in client.get(
            "/migrations"
        )
        action = f"/migrations/{seen(client, State.STOPPED)['id']}/throttle"
        assert client.refusal(action, max_rate="5")[0] == 401
    record = record_of(ends)
    assert record is not None
    assert record.max_rate is None


def test_without_a_target_the_page_says_what_to_give(fleet: str) -> None:
    with flower_process(env=env(fleet)) as url:
        client = Client(url, credentials=None)
        assert "qmig flower --target-url" in client.get("/migrations")
        assert "qmig_workers" in client.get("/metrics")


def test_an_unavailable_target_is_named_and_the_rest_of_flower_works(fleet: str) -> None:
    port = free_port()
    settings = {**env(fleet), "QMIG_TARGET_URL": f"http://127.0.0.1:{port}"}
    with flower_process(env=settings) as url:
        client = Client(url, credentials=None)
        until(lambda: f"target http://127.0.0.1:{port}" in client.json("/migrations/data")["problem"], "the error")
        assert client.get("/workers")


def test_metrics_carry_qmigs_figures_beside_flowers(client: Client, ends: Ends, fleet: str) -> None:
    running = start(ends, *SLOWLY, broker=fleet)
    finish(running)
    migration = seen(client, State.DONE)
    until_it_hears(client.url, USER)

    families = {
        sample.name: family
        for family in text_string_to_metric_families(client.get("/metrics"))
        for sample in family.samples
    }

    of_migration = {"migration": migration["id"], "title": f"{ends.source_name} → {ends.target_name}"}
    for metric in MIGRATION_METRICS:
        if metric.name == "qmig_retries_total" and metric.name not in families:
            # Nothing was retried.
            continue
        assert families[metric.name].type == ("counter" if metric.name.endswith("_total") else "gauge")
        for sample in families[metric.name].samples:
            assert sample.name == metric.name
            assert {**sample.labels, **of_migration} == sample.labels
            assert set(sample.labels) - set(of_migration) == ({metric.label} if metric.label else set())

    def figure(name: str, **labels: str) -> float:
        (value,) = (one.value for one in families[name].samples if {**one.labels, **labels} == one.labels)
        return float(value)

    assert figure("qmig_points_expected") == figure("qmig_points_copied_total") == POINTS
    assert figure("qmig_bytes_copied_total") == sum(chunk.bytes for chunk in chunks_of(ends))
    assert (figure("qmig_chunks", state="done"), figure("qmig_chunks", state="pending")) == (4, 0)
    assert figure("qmig_migration_state", state="done") == 1
    assert figure("qmig_migration_state", state="running") == 0
    assert migration["verdict"]["headline"] == f"all {POINTS:,} points are in the target"
    assert figure("qmig_migration_outcome", outcome=migration["verdict"]["outcome"]) == 1
    assert figure("qmig_migration_outcome", outcome="missing") == 0
    assert figure("qmig_points_per_second") == figure("qmig_seconds_since_progress") == 0
    assert figure(WORKERS[0]) >= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--address", "0.0.0.0"], ["--address 0.0.0.0", "--basic-auth", "$FLOWER_BASIC_AUTH", "--insecure"]),
        (["--address", ""], ["--address ''", "--insecure"]),
        (["--basic-auth", "geheim"], ["--basic-auth takes user:password"]),
        (["--basic-auth", "operator:"], ["--basic-auth takes user:password"]),
        (["--target-url", "nowhere"], ["--target-url nowhere", "http://host:6334"]),
    ],
)
def test_what_flower_refuses(qmig: Run, fleet: str, options: list[str], said: list[str]) -> None:
    result = qmig("flower", *options, env=env(fleet))

    assert "geheim" not in assert_refused(result, 2, *said)


@pytest.mark.parametrize("given", ["", "geheim", "a:b,"])
def test_a_login_that_is_none_is_refused(qmig: Run, fleet: str, given: str) -> None:
    result = qmig("flower", "--address", "0.0.0.0", env=env(fleet, FLOWER_BASIC_AUTH=given))

    assert "geheim" not in assert_refused(result, 2, "$FLOWER_BASIC_AUTH takes user:password")


def test_a_port_that_is_taken_is_named(fleet: str) -> None:
    with flower_process(env=env(fleet)) as url:
        port = url.rpartition(":")[2]
        second = ChildProcess([sys.executable, "-m", "qmig", "flower", "--port", port], name="flower", env=env(fleet))
        finish(second, 2)
    assert f"Error: Flower cannot start on 127.0.0.1, port {port}: Address already in use" in second.read_stderr()
    assert "Traceback" not in second.read_stderr()


@pytest.mark.parametrize(
    ("options", "more", "credentials"),
    [
        (["--insecure"], {}, None),
        (["--basic-auth", USER], {}, USER),
        ([], {"FLOWER_BASIC_AUTH": f"somebody:else,{USER}"}, USER),
    ],
)
def test_another_address_with_authentication_or_an_explicit_word(
    fleet: str, options: list[str], more: dict[str, str], credentials: str | None
) -> None:
    with flower_process("--address", "0.0.0.0", *options, env=env(fleet, **more)) as url:
        assert "Migrations" in Client(url, credentials).get("/migrations")
