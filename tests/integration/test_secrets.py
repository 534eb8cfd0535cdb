"""API keys open both ends and are seen nowhere: not in Redis, not in a log, not in the ledger."""

import base64
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import redis

from qmig.connections import Server
from qmig.embedded.processes import ChildProcess
from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.embedded.redis import EmbeddedRedis
from qmig.migration import Endpoint
from qmig.sealing import new_secret
from tests.conftest import Ends, Run, start_workers
from tests.contents import contents, create, dense_params, fill, new_name, simple_points
from tests.refusals import assert_nothing_written, assert_refused

KEYS = {"SOURCE_API_KEY": "s0urce-k3y-geheim", "TARGET_API_KEY": "t4rget-k3y-geheim"}
OPTIONS = ["--source-api-key", KEYS["SOURCE_API_KEY"], "--target-api-key", KEYS["TARGET_API_KEY"]]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two endpoints that ask for API keys."""
    with ExitStack() as stack:
        opened = []
        for role, key in (("source", KEYS["SOURCE_API_KEY"]), ("target", KEYS["TARGET_API_KEY"])):
            qdrant = stack.enter_context(EmbeddedQdrant(tmp_path_factory.mktemp(role), api_key=key))
            opened.append(stack.enter_context(Server(Endpoint.parse(qdrant.url, ""), role, key)))
        yield opened


@pytest.fixture
def locked(servers: list[Server]) -> Ends:
    """Ends between the two endpoints, the source filled."""
    ends = Ends(servers[0], servers[1], new_name("source"), new_name("target"), new_name("ledger"))
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(300))
    return ends


def assert_arrived(ends: Ends) -> None:
    there = contents(ends.source, ends.source_name)
    assert len(there) == 300
    assert contents(ends.target, ends.target_name) == there


@contextmanager
def monitored(server: EmbeddedRedis) -> Iterator[list[str]]:
    """Every command that Redis gets, as it gets it."""
    seen: list[str] = []
    began = threading.Event()
    client = redis.Redis.from_url(server.url)

    def listen() -> None:
        with client.monitor() as monitor:
            began.set()
            for command in monitor.listen():
                seen.append(command["command"])
                if command["command"].endswith("end of the test"):
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert began.wait(10)
    yield seen
    client.execute_command("ECHO", "end of the test")
    thread.join()
    client.close()


@pytest.mark.parametrize("way", ["environment", "options"])
def test_keys_open_both_ends_and_are_seen_nowhere(locked: Ends, qmig: Run, way: str) -> None:
    secret = {"QMIG_SECRET_KEY": new_secret()}
    env, options = ({**secret, **KEYS}, []) if way == "environment" else (secret, OPTIONS)
    with EmbeddedRedis() as server:
        worker = start_workers(server.url, concurrency=1, **secret)
        with monitored(server) as commands:
            command = ["qdrant", *locked.arguments, *options, "-c", "--chunk-size", "100", "--trace"]
            result = qmig(*command, broker=server.url, env=env)
        worker.stop()

    assert result.returncode == 0, result.stderr
    assert_arrived(locked)
    transported = "\n".join(commands)
    assert "migrate_chunk" in transported
    # Celery packs the arguments of a task into base64.
    bodies = [base64.b64decode(body).decode() for body in re.findall(r'"body": "([\w+/=]+)"', transported)]
    assert sum('"credentials": "' in body for body in bodies) >= 3
    ledger = b"".join(contents(locked.target, locked.ledger).values())
    assert locked.source_name.encode() in ledger
    places = {
        "Redis": transported,
        "a task": "\n".join(bodies),
        "the worker's log": worker.read_stdout() + worker.read_stderr(),
        "the coordinator's log": result.stdout + result.stderr,
        "the ledger": ledger.decode(errors="replace"),
    }
    for place, text in places.items():
        for hidden in (*KEYS.values(), secret["QMIG_SECRET_KEY"]):
            assert hidden not in text, f"{hidden} is in {place}"


def test_without_the_secret_a_fleet_is_refused_with_what_to_do(locked: Ends, qmig: Run, fleet: str) -> None:
    result = qmig("qdrant", *locked.arguments, "-c", broker=fleet, env=KEYS)

    assert_refused(result, 2, "$QMIG_SECRET_KEY is not set", "`qmig secret`", "every worker")
    assert_nothing_written(locked)


def test_a_secret_that_is_none_is_refused(locked: Ends, qmig: Run, fleet: str) -> None:
    env = {**KEYS, "QMIG_SECRET_KEY": "geheim"}

    result = qmig("qdrant", *locked.arguments, "-c", broker=fleet, env=env)

    assert_refused(result, 2, "$QMIG_SECRET_KEY is not a key made by `qmig secret`")
    assert "geheim" not in result.stderr
    assert_nothing_written(locked)


def test_a_worker_with_another_secret_copies_nothing_and_both_sides_say_so(locked: Ends) -> None:
    with EmbeddedRedis() as server:
        worker = start_workers(server.url, concurrency=1, QMIG_SECRET_KEY=new_secret())
        process = ChildProcess(
            [sys.executable, "-m", "qmig", "qdrant", *locked.arguments, "-c"],
            name="the migration",
            env={"QMIG_BROKER_URL": server.url, "QMIG_SECRET_KEY": new_secret(), **KEYS},
        )
        said = process.wait_for_log("1 workers answer on redis://***@")
        process.stop(timeout=60)
        worker.stop()

    assert "none is at this migration" in said
    assert process.wait() == 130
    assert "$QMIG_SECRET_KEY does not open the migration's credentials" in worker.read_stderr()
    assert contents(locked.target, locked.target_name) == {}


def test_on_one_machine_keys_need_no_secret(locked: Ends, qmig: Run) -> None:
    dry = qmig("qdrant", *locked.arguments, "-c", "--dry-run", env=KEYS)
    assert dry.returncode == 0, dry.stderr
    assert_nothing_written(locked)

    result = qmig("qdrant", *locked.arguments, "-c", "--workers", "1", env=KEYS)

    assert result.returncode == 0, result.stderr
    assert_arrived(locked)


def test_status_takes_the_targets_key(locked: Ends, qmig: Run) -> None:
    done = qmig("qdrant", *locked.arguments, "-c", "--workers", "1", env=KEYS)
    assert done.returncode == 0, done.stderr
    command = [
        "status",
        "--target-url", locked.target.endpoint.url,
        "--migration-offsets-collection-name", locked.ledger,
    ]  # fmt: skip

    assert_refused(qmig(*command), 1, "API key", "--target-api-key", "$TARGET_API_KEY")
    for result in (qmig(*command, env=KEYS), qmig(*command, *OPTIONS[2:])):
        assert result.returncode == 0, result.stderr
        assert "done  100%" in result.stdout
        assert "300/~300 points" in result.stdout


def test_secret_prints_a_new_one_each_time(qmig: Run) -> None:
    printed = {qmig("secret").stdout.strip() for _ in range(2)}

    assert len(printed) == 2
    assert all(re.fullmatch(r"[\w-]{43}=", one) for one in printed)
