"""Messages that others send over the broker are refused in one line each, and the worker continues."""

import base64
import json
import pickle
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from msgspec import structs

from qmig.broker.access import AccessGrant
from qmig.broker.queues import PLAIN_QUEUE, queue_name
from qmig.broker.registry import MIGRATIONS
from qmig.broker.sealing import new_secret
from qmig.broker.task import MIGRATE_CHUNK, SUPERVISE_MIGRATION, TASK_VERSION
from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import State
from qmig.migration import Credentials, Endpoint, Migration, SourceSpec, TargetSpec
from tests.support.collections import contents, exists
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.waiting import until
from tests.support.workers import start_workers

NOBODYS = str(uuid.uuid4())


class Opened:
    """An object whose unpickling would run code."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return (open, (self.mark, "w"))


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="module")
def worker(broker: EmbeddedRedis) -> Iterator[ChildProcess]:
    """One worker, which gets every message that these tests send."""
    process = start_workers(broker.url, concurrency=1)
    yield process
    process.stop()


@pytest.fixture
def source_points() -> int:
    return 100


def access_to(ends: Ends, **changes: Any) -> str:
    """The access grant of a task for a migration between the ends, with changes."""
    migration = Migration(
        SourceSpec("qdrant", ends.source.endpoint, ends.source_name),
        TargetSpec(ends.target.endpoint, ends.target_name, ends.ledger),
    )
    return structs.replace(AccessGrant.of(migration, Credentials()), **changes).to_text()


def kwargs_of(access: Any, migration: str | None = None, **changes: Any) -> dict[str, Any]:
    """The arguments of a chunk's task, with changes."""
    if migration is None:
        migration = json.loads(access)["migration"] if str(access).startswith("{") else NOBODYS
    of_migration = {"migration": migration, "access": access}
    return {"version": TASK_VERSION, "migration_task": of_migration, "run": "any", "chunk": 0, **changes}


def envelope(body: bytes, name: str | None = MIGRATE_CHUNK, kind: str = "application/json", **headers: Any) -> str:
    """A message as kombu puts it on Redis."""
    properties = {
        "correlation_id": str(uuid.uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": PLAIN_QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    named = {"id": properties["correlation_id"], "task": name, **headers} if name else headers
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": kind,
        "headers": {"lang": "py", **named},
        "properties": properties,
    }
    return json.dumps(message)


def task(kwargs: Any, name: str = MIGRATE_CHUNK, args: Any = ()) -> str:
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return envelope(json.dumps([args, kwargs, embedded]).encode(), name)


def send(broker: EmbeddedRedis, message: str, queue: str = PLAIN_QUEUE) -> None:
    with redis.Redis.from_url(broker.url) as client:
        client.lpush(queue, message)


def assert_one_line(worker: ChildProcess, before: str, *said: str) -> None:
    """Check that the worker's log since `before` has one line with all these texts, and no traceback."""

    def log() -> str:
        new = worker.read_stderr()[len(before) :]
        return new if any(all(text in line for text in said) for line in new.splitlines()) else ""

    new = until(log, f"{said} in the log", worker)
    assert "Traceback" not in new, new
    assert len(new) < 10_000, f"{len(new)} characters: {new[:1000]}"
    assert worker.running


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def refused_messages(mark: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Messages by their kind, and the log's line about each."""
    grant = json.dumps({"migration": NOBODYS})
    good = kwargs_of(grant)
    pickled = pickle.dumps([[Opened(mark)], {}, {}])
    return {
        "a pickled task": (envelope(pickled, kind="application/x-python-serialize"), ("refused", "type pickle")),
        "a pickle that calls itself JSON": (envelope(pickled), ("refused",)),
        "no JSON": (envelope(b"{]"), ("refused",)),
        "JSON too deep": (envelope(deep(100_000)), ("refused",)),
        "a number for a task": (envelope(b"1"), ("refused",)),
        "a list that is too short": (envelope(b"[1]"), ("refused",)),
        "no arguments": (envelope(b"[[], null, {}]"), ("refused",)),
        "no envelope": ("garbage", ("refused",)),
        "an envelope of another kind": ("[1, 2]", ("refused",)),
        "an envelope without a body": (json.dumps({"properties": {}, "headers": {}}), ("refused",)),
        "a body that is not base64": (json.dumps({**json.loads(task(good)), "body": "äöü"}), ("refused",)),
        "no headers": (json.dumps({**json.loads(task(good)), "headers": None}), ("refused",)),
        "no id": (envelope(b"[[], {}, {}]", id=None), ("refused",)),
        "a time that is none": (envelope(b"[[], {}, {}]", eta="tomorrow"), ("refused",)),
        "an end that is none": (envelope(b"[[], {}, {}]", expires="tomorrow"), ("refused", "tomorrow")),
        "limits that are none": (envelope(b"[[], {}, {}]", timelimit="x"), ("refused",)),
        "retries that are none": (envelope(b"[[], {}, {}]", retries="x"), ("refused",)),
        "a task of another name": (task({}, "rm"), ("refused", "'rm'")),
        "a message that names no task": (envelope(b"[[], {}, {}]", None), ("refused",)),
        "arguments by position": (task({}, args=[1, 2]), ("refused",)),
        "no version": (task({}), ("refused", "version None")),
        "an unknown version": (task({**good, "version": 99}), ("refused", "version 99")),
        "a version that is none": (task({**good, "version": {"a": "b" * 100_000}}), ("refused", "version {'a'")),
        "a field missing": (
            task({"version": TASK_VERSION, "chunk": 0}),
            ("refused", "missing required field `migration_task`"),
        ),
        "a field too many": (task({**good, "shell": "rm"}), ("refused", "unknown field `shell`")),
        "a chunk that is none": (task({**good, "chunk": "all"}), ("refused", "got `str` - at `$.chunk`")),
        "an owner that is none": (
            task({**good, "abandoned": [1, 2, 3]}),
            ("refused", "at `$.abandoned`"),
        ),
        "an access that is none": (task(kwargs_of(7)), ("refused", "got `int` - at `$.migration_task.access`")),
        "a huge one": (task(kwargs_of("x" * 20_000_000)), ("sealed", "no $QMIG_SECRET_KEY")),
        "a migration that is none": (
            task({"version": TASK_VERSION, "migration": ["x"], "access": grant}, SUPERVISE_MIGRATION),
            ("refused", "got `array` - at `$.migration`"),
        ),
        "an access without ends": (task(good), ("access is malformed", "missing required field `source`")),
    }


@pytest.mark.parametrize("what", refused_messages(""))
def test_what_is_no_task_is_refused_and_the_worker_lives(
    broker: EmbeddedRedis, worker: ChildProcess, what: str, tmp_path: Any
) -> None:
    mark = tmp_path / "executed"
    message, said = refused_messages(str(mark))[what]
    before = worker.read_stderr()

    send(broker, message)

    assert_one_line(worker, before, *said)
    assert not mark.exists()
    with redis.Redis.from_url(broker.url) as client:
        until(lambda: client.hlen("unacked") == 0 and client.llen(PLAIN_QUEUE) == 0, "the message being gone")


def test_a_migration_that_is_in_no_ledger(broker: EmbeddedRedis, worker: ChildProcess, filled: Ends) -> None:
    before = worker.read_stderr()
    send(broker, task(kwargs_of(access_to(filled))))
    assert_one_line(worker, before, "is not in the ledger", filled.ledger, "nothing was done")
    assert not exists(filled.target, filled.ledger)
    with redis.Redis.from_url(broker.url) as client:
        assert client.hlen(MIGRATIONS + PLAIN_QUEUE) == 0


def test_a_target_that_does_not_answer_delays_a_worker_for_half_a_minute(
    broker: EmbeddedRedis, worker: ChildProcess, filled: Ends, qmig: Run
) -> None:
    nowhere = Endpoint("127.0.0.1", free_port())
    before = worker.read_stderr()
    send(broker, task(kwargs_of(access_to(filled, target=nowhere))))

    # The worker has also got the messages of the other tests.
    done = qmig("qdrant", *filled.arguments, "-c", broker=broker.url)

    assert done.returncode == 0, done.stderr
    assert_one_line(worker, before, f"target {nowhere.url}")
    assert contents(filled.target, filled.target_name) == contents(filled.source, filled.source_name)


def test_a_fleet_with_a_secret_connects_nowhere_for_a_forged_task(filled: Ends) -> None:
    """Neither a new task nor a changed copy of a real task makes a worker connect to another server."""
    secret = new_secret()
    with (
        EmbeddedRedis() as broker,
        socket.create_server(("127.0.0.1", 0)) as trap,
        pytest.MonkeyPatch.context() as env,
    ):
        trap.settimeout(0)
        theirs = Endpoint("127.0.0.1", trap.getsockname()[1])
        open_task = access_to(filled, target=theirs)
        env.setenv("QMIG_SECRET_KEY", new_secret())
        sealed_otherwise = access_to(filled, target=theirs)
        env.setenv("QMIG_SECRET_KEY", secret)
        seen = access_to(filled)
        queue = queue_name()
        worker = start_workers(broker.url, concurrency=1)
        for access, said in (
            (open_task, "it is not sealed, and this worker has a $QMIG_SECRET_KEY"),
            (sealed_otherwise, "it was not sealed with this worker's $QMIG_SECRET_KEY"),
            (seen, "its access is not for it"),
        ):
            before = worker.read_stderr()
            send(broker, task(kwargs_of(access, migration=NOBODYS)), queue)
            assert_one_line(worker, before, said)
        worker.stop()
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_a_ledger_that_names_another_source_gets_no_credentials(
    broker: EmbeddedRedis, worker: ChildProcess, filled: Ends, plan_only: Callable[..., None]
) -> None:
    plan_only("-c")
    ledger = Ledger(filled.target, filled.ledger)
    record = ledger.migrations()[0]
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        endpoint = structs.replace(record.definition.source.endpoint, port=trap.getsockname()[1])
        source = structs.replace(record.definition.source, endpoint=endpoint)
        definition = structs.replace(record.definition, source=source)
        assert ledger.change_migration(record, definition=definition, state=State.RUNNING)
        before = worker.read_stderr()

        send(broker, task(kwargs_of(access_to(filled), run=record.run)))

        assert_one_line(worker, before, "has other ends in its ledger than in the task", "nothing was done")
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert ledger.change_migration(replace(record, state=State.RUNNING), state=State.STOPPED)
