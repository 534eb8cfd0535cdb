"""API keys give access to both ends and are visible nowhere: not in Redis, a log or the ledger."""

import base64
import json
import re
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from secrets import token_hex
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest
import redis

from qmig.broker.sealing import new_secret
from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.embedded.redis import EmbeddedRedis
from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.collections import contents, new_name
from tests.support.command import Run
from tests.support.connections import until_listening
from tests.support.ends import Ends
from tests.support.flower import read_page, until_it_hears
from tests.support.migrations import arrived, fill_source, finish
from tests.support.refusals import assert_nothing_written, assert_refused
from tests.support.waiting import PATIENCE, until, until_logged
from tests.support.workers import start_workers

# Random, since the whole machine is searched for them, and another run of these tests may be going on there.
KEYS = {"SOURCE_API_KEY": f"s0urce-k3y-{token_hex(8)}", "TARGET_API_KEY": f"t4rget-k3y-{token_hex(8)}"}
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
    fill_source(ends, 300)
    return ends


@contextmanager
def monitored(server: EmbeddedRedis) -> Iterator[list[str]]:
    """Record every command that Redis gets."""
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
    assert began.wait(PATIENCE)
    yield seen
    client.execute_command("ECHO", "end of the test")
    thread.join()
    client.close()


class Watcher(threading.Thread):
    """Collects what the machine's process list shows of other processes, as often as it can."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.exempt: set[int] = set()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.05):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    if process.pid not in self.exempt:
                        self.seen.add(" ".join(process.cmdline()))

    def __enter__(self) -> "Watcher":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def assert_hidden(hidden: Iterable[str], places: dict[str, str]) -> None:
    """Check that no secret is in any of the places, and that no place is empty."""
    for place, text in places.items():
        assert text, f"{place} is empty"
        for secret in hidden:
            for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
                assert form not in text, f"{secret} is in {place}"


def opened(sent: str) -> str:
    """The commands that Redis got, with the arguments of tasks decoded from Celery's base64."""
    bodies = re.findall(r'"body": "([\w+/=]+)"', sent)
    return "\n".join([sent, *(base64.b64decode(body).decode() for body in bodies)])


def held(url: str) -> str:
    """Read all contents of a Redis."""
    with redis.Redis.from_url(url) as client:
        return repr([(key, client.dump(key)) for key in client.scan_iter()])


def ledger_text(ends: Ends) -> str:
    found = b"".join(contents(ends.target, ends.ledger).values())
    assert ends.source_name.encode() in found
    return found.decode(errors="replace")


def browse(flower: str) -> str:
    """Read every page of Flower and every answer of its API."""
    paths = [
        "/workers",
        "/tasks",
        "/broker",
        "/metrics",
        "/api/tasks",
        "/api/workers?refresh=1",
        "/api/queues/length",
        "/migrations",
    ]
    pages = []
    for path in paths:
        pages.append(read_page(flower + path))
    tasks, workers = json.loads(pages[4]), json.loads(pages[5])
    assert workers
    assert len(tasks) >= 3
    migrations: list[dict[str, Any]] = []

    def seen() -> bool:
        migrations[:] = json.loads(read_page(f"{flower}/migrations/data"))["migrations"]
        return any(one["state"] == "done" for one in migrations)

    until(seen, "the page showing the migration")
    paths = [
        *(f"/task/{one}" for one in tasks),
        *(f"/worker/{one}" for one in workers),
        "/migrations/data",
        *(f"/migrations/{one['id']}/chunks/0" for one in migrations),
    ]
    for path in paths:
        pages.append(read_page(flower + path))
    return "\n".join(pages)


@pytest.mark.parametrize("way", ["environment", "options"])
def test_a_fleet_shows_no_secret_anywhere(locked: Ends, way: str) -> None:
    secret = {"QMIG_SECRET_KEY": new_secret()}
    env, options = ({**secret, **KEYS}, []) if way == "environment" else (secret, OPTIONS)
    command = [sys.executable, "-m", "qmig"]
    with EmbeddedRedis() as server, monitored(server) as sent, Watcher() as processes, ExitStack() as stack:

        def start(*arguments: str, **more: str) -> ChildProcess:
            process = ChildProcess(
                [*command, *arguments], name=arguments[0], env={"QMIG_BROKER_URL": server.url, **more}
            )
            stack.callback(process.stop)
            return process

        worker = start("worker", "--concurrency", "1", "--trace", **secret)
        until_logged(worker, "ready.")
        port = free_port()
        open_api = {"FLOWER_UNAUTHENTICATED_API": "true", "TARGET_API_KEY": KEYS["TARGET_API_KEY"]}
        flower = start("flower", "--port", str(port), *locked.where, "--trace", **open_api)
        until_listening(port, flower)
        until_it_hears(f"http://127.0.0.1:{port}")
        migrate = ["qdrant", *locked.arguments, *options, "-c", "--chunk-size", "100", "--trace"]
        coordinator = start(*migrate, **env)
        if way == "options":
            # A user may put a key on the command line; no process that qmig starts repeats it.
            processes.exempt.add(coordinator.pid)
        finish(coordinator)
        pages = browse(f"http://127.0.0.1:{port}")
        kept = held(server.url)
    assert arrived(locked)
    assert locked.source_name in pages
    assert sum("migrate_chunk" in command for command in sent) >= 3
    assert opened("\n".join(sent)).count('"access": "gAAAA') >= 3
    assert any("qmig worker" in line for line in processes.seen)
    assert_hidden(
        [*KEYS.values(), *secret.values(), server.password],
        {
            "what Redis was sent": opened("\n".join(sent)),
            "Redis": kept,
            "Flower": pages,
            "Flower's log": flower.read_stdout() + flower.read_stderr(),
            "the worker's log": worker.read_stdout() + worker.read_stderr(),
            "the coordinator's log": coordinator.read_stdout() + coordinator.read_stderr(),
            "the ledger": ledger_text(locked),
            "a process list": "\n".join(processes.seen),
        },
    )


def test_one_machine_shows_no_secret_anywhere(locked: Ends) -> None:
    command = ["qdrant", *locked.arguments, "-c", "--chunk-size", "100", "--workers", "1", "--trace"]
    with Watcher() as processes:
        process = ChildProcess([sys.executable, "-m", "qmig", *command], name="the migration", env=KEYS)
        until_logged(process, "ready.")
        workers = [one for one in psutil.Process(process.pid).children() if "worker" in one.cmdline()]
        own = workers[0].environ()
        finish(process)
    assert arrived(locked)
    password = urlsplit(own["QMIG_BROKER_URL"]).password
    assert password
    assert_hidden(
        [*KEYS.values(), own["QMIG_SECRET_KEY"], password],
        {
            "the log": process.read_stdout() + process.read_stderr(),
            "the ledger": ledger_text(locked),
            "a process list": "\n".join(processes.seen),
        },
    )


def test_an_error_shows_no_secret(locked: Ends, qmig: Run) -> None:
    secret = new_secret()
    broker = f"redis://somebody:br0ker-geheim@127.0.0.1:{free_port()}/0?ssl_password=k3y-geheim"
    env = {"SOURCE_API_KEY": "wr0ng-k3y-geheim", "TARGET_API_KEY": KEYS["TARGET_API_KEY"], "QMIG_SECRET_KEY": secret}
    hidden = [*env.values(), "br0ker-geheim", "k3y-geheim"]
    for arguments in (["qdrant", *locked.arguments, "-c"], ["worker"], ["flower"], ["workers"]):
        result = qmig(*arguments, "--trace", broker=broker, env=env)
        assert result.returncode in (1, 2)
        assert_hidden(hidden, {" ".join(arguments[:1]): result.stdout + result.stderr})


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


@pytest.mark.parametrize(("secret", "said"), [(new_secret(), "another"), ("", "no")], ids=["another", "none"])
def test_workers_with_another_secret_are_named_and_take_nothing(locked: Ends, secret: str, said: str) -> None:
    right = new_secret()
    with EmbeddedRedis() as server:
        wrong = start_workers(server.url, concurrency=1, QMIG_SECRET_KEY=secret)
        process = ChildProcess(
            [sys.executable, "-m", "qmig", "qdrant", *locked.arguments, "-c", "--chunk-size", "50"],
            name="the migration",
            env={"QMIG_BROKER_URL": server.url, "QMIG_SECRET_KEY": right, **KEYS},
        )
        until_logged(process, "can take part: worker ")
        worker = start_workers(server.url, concurrency=1, QMIG_SECRET_KEY=right)
        finish(process)
        worker.stop()
        wrong.stop()

    assert arrived(locked)
    log = process.read_stderr()
    name = f"worker qmig-{wrong.pid}@{socket.gethostname()} has {said} $QMIG_SECRET_KEY"
    assert any(name in line and "it takes none of these tasks" in line for line in log.splitlines())
    assert "Task migrate_chunk" not in wrong.read_stderr()
    assert "refused" not in wrong.read_stderr()


def test_the_workers_of_a_fleet_are_listed_with_those_that_have_another_secret(qmig: Run) -> None:
    with EmbeddedRedis() as server:
        worker = start_workers(server.url, concurrency=1, QMIG_SECRET_KEY=new_secret())
        result = qmig("workers", broker=server.url, env={"QMIG_SECRET_KEY": new_secret()})
        worker.stop()

    assert result.returncode == 0, result.stderr
    assert f"qmig-{worker.pid}@" in result.stdout
    assert "has another $QMIG_SECRET_KEY than this" in result.stdout


def test_on_one_machine_keys_need_no_secret(locked: Ends, qmig: Run) -> None:
    dry = qmig("qdrant", *locked.arguments, "-c", "--dry-run", env=KEYS)
    assert dry.returncode == 0, dry.stderr
    assert_nothing_written(locked)

    result = qmig("qdrant", *locked.arguments, "-c", "--workers", "1", env=KEYS)

    assert result.returncode == 0, result.stderr
    assert arrived(locked)


def test_status_takes_the_targets_key(locked: Ends, qmig: Run) -> None:
    done = qmig("qdrant", *locked.arguments, "-c", "--workers", "1", env=KEYS)
    assert done.returncode == 0, done.stderr
    command = ["status", *locked.where]

    assert_refused(qmig(*command), 1, "API key", "--target-api-key", "$TARGET_API_KEY")
    for result in (qmig(*command, env=KEYS), qmig(*command, *OPTIONS[2:])):
        assert result.returncode == 0, result.stderr
        assert "done  100%" in result.stdout
        assert "300 of 300 expected" in result.stdout


def test_secret_prints_a_new_one_each_time(qmig: Run) -> None:
    printed = {qmig("secret").stdout.strip() for _ in range(2)}

    assert len(printed) == 2
    assert all(re.fullmatch(r"[\w-]{43}=", one) for one in printed)
