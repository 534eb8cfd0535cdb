"""A mistake gets one line that says what is wrong, with the value, and what to do; and nothing is written."""

import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from qmig.broker.sealing import new_secret
from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, RecordKind
from qmig.migration import Endpoint, Migration, SourceSpec, TargetSpec
from qmig.qdrant.server import Server
from tests.support.collections import contents, count, create, delete, dense_params, exists
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source, finish
from tests.support.refusals import assert_nothing_written, assert_refused
from tests.support.waiting import until, until_logged
from tests.support.workers import start_workers

ROLES = ["source", "target"]


@pytest.fixture
def there(ends: Ends) -> Ends:
    """Ends with a source of a few points."""
    fill_source(ends, 20)
    return ends


def with_option(ends: Ends, option: str, value: str) -> list[str]:
    """The arguments for the ends, with another value for one option."""
    arguments = list(ends.arguments)
    arguments[arguments.index(option) + 1] = value
    return arguments


BAD_URLS = {
    "http://localhost:port": "port",
    "http://localhost:99999": "Port out of range",
    "http://localhost:0": "port 0",
    "localhost:6334": "scheme",
    "ftp://localhost:6334": "scheme",
    "grpc://localhost:6334": "scheme",
    "http://": "host",
    "http://[::1": "IPv6",
    "http://localhost:6334/collections": "path",
    "": "scheme",
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_is_none(ends: Ends, qmig: Run, role: str, url: str) -> None:
    result = qmig("qdrant", *with_option(ends, f"--{role}-url", url), "-c")

    assert_refused(result, 2, f"--{role}-url {url}", BAD_URLS[url], "http://host:6334")
    assert_nothing_written(ends)


@pytest.mark.parametrize("role", ROLES)
def test_credentials_in_a_url_are_refused_and_never_shown(ends: Ends, qmig: Run, role: str) -> None:
    for url in ("http://user:geheim@localhost:6334", "http://geheim@localhost:port", "geheim@localhost:6334"):
        result = qmig("qdrant", *with_option(ends, f"--{role}-url", url), "-c")

        assert_refused(result, 2, f"--{role}-url", "***@localhost")
        assert "geheim" not in result.stderr
    assert_nothing_written(ends)


@pytest.mark.parametrize("role", ROLES)
def test_nothing_listens_there(there: Ends, qmig: Run, role: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    result = qmig("qdrant", *with_option(there, f"--{role}-url", url), "-c")

    assert_refused(result, 1, f"{role} {url}", "nothing listens there", f"--{role}-url")
    assert_nothing_written(there)


def test_a_host_that_nobody_knows(ends: Ends, qmig: Run) -> None:
    result = qmig("qdrant", *with_option(ends, "--source-url", "http://no-such-host.invalid:6334"), "-c")

    assert_refused(result, 1, "no host named 'no-such-host.invalid'", "--source-url")
    assert_nothing_written(ends)


class Hello(http.server.BaseHTTPRequestHandler):
    """What Qdrant's REST port does with any request, as far as it matters here: it answers HTTP/1.1."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def http_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("role", ROLES)
def test_the_rest_port_instead_of_grpc(there: Ends, qmig: Run, role: str, http_port: int) -> None:
    url = f"http://127.0.0.1:{http_port}"

    result = qmig("qdrant", *with_option(there, f"--{role}-url", url), "-c")

    assert_refused(result, 1, f"{role} {url}", "not gRPC", "6334", f"--{role}-url")
    assert_nothing_written(there)


def test_a_port_that_speaks_neither(there: Ends, qmig: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closing = threading.Thread(target=_hang_up, args=[server], daemon=True)
        closing.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        result = qmig("qdrant", *with_option(there, "--source-url", url), "-c")

    assert_refused(result, 1, f"source {url}", "gRPC port")
    assert result.stderr.count(f"source {url}") == 1
    assert_nothing_written(there)


def _hang_up(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An endpoint that requires an API key."""
    with EmbeddedQdrant(tmp_path_factory.mktemp("locked"), api_key="right") as qdrant:
        endpoint = Endpoint.parse(qdrant.url, "")
        with Server(endpoint, "source", "right") as server:
            yield server


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("key", ["wr0ng-k3y", None], ids=["wrong", "none"])
def test_a_wrong_api_key(there: Ends, qmig: Run, locked: Server, role: str, key: str | None) -> None:
    env = {"QMIG_SECRET_KEY": new_secret(), **({f"{role.upper()}_API_KEY": key} if key else {})}
    url = locked.endpoint.url

    result = qmig("qdrant", *with_option(there, f"--{role}-url", url), "-c", env=env)

    assert_refused(result, 1, f"{role} {url}", "API key", f"--{role}-api-key", f"${role.upper()}_API_KEY")
    assert "wr0ng-k3y" not in result.stderr
    assert_nothing_written(there)
    assert not exists(locked, there.target_name)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("key", ["right\r", "two\nlines", "schlüssel"])
def test_an_api_key_that_cannot_be_sent(there: Ends, qmig: Run, role: str, key: str) -> None:
    name = f"{role.upper()}_API_KEY"

    result = qmig("qdrant", *there.arguments, "-c", env={"QMIG_SECRET_KEY": new_secret(), name: key})

    assert_refused(result, 2, f"{role} http", "line break", f"--{role}-api-key", f"${name}")
    assert key[:5] not in result.stderr
    assert_nothing_written(there)


def test_a_source_that_is_not_there_with_close_names(there: Ends, qmig: Run) -> None:
    almost = there.source_name[:-1]

    result = qmig("qdrant", *with_option(there, "--source-collection", almost), "-c")

    assert_refused(result, 1, repr(almost), f"close: {there.source_name!r}", "--source-collection")
    assert_nothing_written(there)


def test_a_target_that_is_not_there_with_close_names(there: Ends, qmig: Run) -> None:
    close = f"{there.target_name}s"
    create(there.target, close, dense_params())
    try:
        result = qmig("qdrant", *there.arguments)
    finally:
        delete(there.target, close)

    line = assert_refused(result, 1, repr(there.target_name), f"close: {close!r}")
    assert "--create-target-collection (-c)" in line
    assert_nothing_written(there)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("-b", "0"),
        ("--batch-size", "-5"),
        ("--batch-size", "many"),
        ("--batch-bytes", "0"),
        ("--batch-bytes", str(32 * 1024 * 1024 + 1)),
        ("--batch-delay", "-1"),
        ("--workers", "0"),
        ("--chunk-size", "0"),
        ("--chunk-size", "1.5"),
    ],
)
def test_a_number_out_of_its_range(ends: Ends, qmig: Run, option: str, value: str) -> None:
    result = qmig("qdrant", *ends.arguments, "-c", option, value)

    assert_refused(result, 2, option, value)
    assert_nothing_written(ends)


@pytest.mark.parametrize("option", ["--source-url", "--source-collection", "--target-url", "--target-collection"])
def test_an_option_that_is_missing(ends: Ends, qmig: Run, option: str) -> None:
    arguments = list(ends.arguments)
    at = arguments.index(option)
    del arguments[at : at + 2]

    assert_refused(qmig("qdrant", *arguments), 2, "Missing option", option)


@pytest.mark.parametrize("arguments", [["qdrnt"], ["qdrant", "--bach-size", "3"], ["status", "--nope"]])
def test_what_qmig_does_not_know(qmig: Run, arguments: list[str]) -> None:
    assert_refused(qmig(*arguments), 2, next(one for one in arguments[::-1] if one != "3"))


@pytest.mark.parametrize("option", ["--source-collection", "--target-collection"])
def test_a_collection_name_that_cannot_be(there: Ends, qmig: Run, option: str) -> None:
    for name in ("", "with/slash", "x" * 256):
        result = qmig("qdrant", *with_option(there, option, name), "-c")
        assert_refused(result, 1, option.strip("-").split("-", maxsplit=1)[0], "collection_name")
    assert_nothing_written(there)


def test_a_ledger_that_a_newer_qmig_wrote(there: Ends, migrate: Run, qmig: Run) -> None:
    migration = Migration(
        SourceSpec("qdrant", there.source.endpoint, there.source_name),
        TargetSpec(there.target.endpoint, there.target_name, there.ledger),
    )
    ledger = Ledger(there.target, there.ledger)
    ledger.create()
    ledger.save(RecordKind.MIGRATION, [MigrationRecord(migration.id, migration, version=99)])
    before = contents(there.target, there.ledger)

    for result in (
        migrate("-c"),
        migrate("-c", "--restart-migration"),
        qmig("status", *there.where),
    ):
        assert_refused(result, 1, migration.id, "version 99", "newer qmig")
    assert contents(there.target, there.ledger) == before
    assert not exists(there.target, there.target_name)


def test_a_ledger_name_that_is_a_collection_of_vectors(there: Ends, qmig: Run) -> None:
    create(there.target, there.ledger, dense_params())

    result = qmig("qdrant", *there.arguments, "-c")

    assert_refused(result, 1, repr(there.ledger), "not a ledger", "--migration-offsets-collection-name")
    assert count(there.target, there.ledger) == 0
    assert not exists(there.target, there.target_name)


def test_a_ledger_name_that_is_the_target(ends: Ends, qmig: Run) -> None:
    arguments = with_option(ends, "--migration-offsets-collection-name", ends.target_name)

    assert_refused(qmig("qdrant", *arguments, "-c"), 2, repr(ends.target_name), "ledger")
    assert_nothing_written(ends)


def test_both_ends_equal(ends: Ends, qmig: Run) -> None:
    port = ends.source.endpoint.port
    for source, target in (
        (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}"),
        (f"http://localhost:{port}", f"http://127.0.0.1:{port}/"),
        (f"http://[::1]:{port}", f"http://LOCALHOST:{port}"),
    ):
        same = replace(ends, target_name=ends.source_name)
        result = qmig("qdrant", *same.through(source, target), "-c")
        assert_refused(result, 2, "source and target collections must be different", repr(ends.source_name))
    assert_nothing_written(ends)


@pytest.mark.parametrize(
    ("broker", "said"),
    [
        ("redis://127.0.0.1:{port}/0", "refused"),
        ("http://127.0.0.1:{port}", "redis://"),
        ("redis://127.0.0.1:99999/0", "the port 99999 is not between 1 and 65535"),
        ("redis://127.0.0.1:port/0", "port"),
    ],
)
def test_a_broker_that_cannot_be_reached(there: Ends, qmig: Run, broker: str, said: str) -> None:
    url = broker.format(port=free_port())

    for arguments in (["qdrant", *there.arguments, "-c"], ["worker"], ["flower"]):
        result = qmig(*arguments, "--broker-url", url)
        assert_refused(result, 2, url, said, "--broker-url", "$QMIG_BROKER_URL")
    assert_nothing_written(there)


def test_a_brokers_password_is_not_shown(there: Ends, qmig: Run) -> None:
    url = f"redis://user:geheim@127.0.0.1:{free_port()}/0"

    result = qmig("qdrant", *there.arguments, "-c", broker=url)

    assert_refused(result, 2, "redis://***@127.0.0.1")
    assert "geheim" not in result.stderr
    assert_nothing_written(there)


def test_a_wrong_password_for_the_broker(there: Ends, qmig: Run, fleet: str) -> None:
    host = fleet.rpartition("@")[2]

    result = qmig("qdrant", *there.arguments, "-c", broker=f"redis://:geheim@{host}")

    assert_refused(result, 2, "password")
    assert "geheim" not in result.stderr
    assert_nothing_written(there)


@pytest.mark.parametrize("command", ["worker", "flower"])
def test_no_broker_where_one_is_needed(qmig: Run, command: str) -> None:
    assert_refused(qmig(command), 2, "--broker-url", "QMIG_BROKER_URL")


def test_no_worker_on_the_fleet_is_said_and_said_again_until_one_comes(there: Ends, idle_broker: str) -> None:
    process = ChildProcess(
        [sys.executable, "-m", "qmig", "qdrant", *there.arguments, "-c"],
        name="the migration",
        env={"QMIG_BROKER_URL": idle_broker},
    )
    until_logged(process, "no worker answers on redis://***@")
    said = process.read_stderr().count("no worker answers")
    assert said == 1
    until(lambda: process.read_stderr().count("no worker answers") == 2, "a second word of it", process)
    worker = start_workers(idle_broker, concurrency=1)
    try:
        finish(process)
    finally:
        worker.stop()
    assert contents(there.target, there.target_name) == contents(there.source, there.source_name)
    assert "qmig worker --broker-url" in process.read_stderr()


def test_two_routings_exclude_each_other(ends: Ends, qmig: Run) -> None:
    routing = ["--target-shard-key", "a", "--target-shard-key-field", "b"]

    assert_refused(qmig("qdrant", *ends.arguments, "-c", *routing), 2, *routing[::2])
    assert_nothing_written(ends)


def test_status_of_what_is_not_there(ends: Ends, qmig: Run) -> None:
    assert_refused(qmig("status", *ends.where), 1, repr(ends.ledger), ends.target.endpoint.url)

    Ledger(ends.target, ends.ledger).create()
    assert_refused(qmig("status", *ends.where, "f00"), 2, "'f00' is unknown", repr(ends.ledger))
    assert_refused(qmig("status", *ends.where), 2, "there are no migrations", repr(ends.ledger))


def test_a_migration_that_is_not_named_is_chosen_from_ids_titles_and_states(
    there: Ends, migrate: Run, qmig: Run
) -> None:
    assert migrate("-c").returncode == 0
    other = with_option(there, "--target-collection", f"{there.target_name}-2")
    assert qmig("qdrant", *other, "-c", "--workers", "1").returncode == 0
    first, second = Ledger(there.target, there.ledger).migrations()

    for command in (["status"], ["attach"], ["pause"], ["status", "f00"]):
        line = assert_refused(qmig(*command, *there.where), 2, first.migration[:8], second.migration[:8])
        assert f"({second.title}, done)" in line
    delete(there.target, f"{there.target_name}-2")


@pytest.mark.usefixtures("there")
def test_local_workers_beside_a_broker_are_said_to_be_of_no_effect(migrate: Run) -> None:
    result = migrate("-c", "--workers", "3")

    assert result.returncode == 0, result.stderr
    assert "warning: --workers 3 has no effect" in result.stderr
