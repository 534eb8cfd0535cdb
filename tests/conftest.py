"""Running servers: Qdrant endpoints, a Redis and workers as processes, and `qmig` as a command.

$QMIG_TEST_SOURCE_QDRANT and $QMIG_TEST_TARGET_QDRANT hold gRPC URLs of real servers; without them the embedded
endpoint is used.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.embedded.redis import EmbeddedRedis
from qmig.errors import QmigError
from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server, server_version
from tests.support.collections import create, create_shard_key, delete, dense_params, new_name
from tests.support.command import Run, run_command
from tests.support.ends import Ends
from tests.support.migrations import POINTS, fill_source
from tests.support.qdrant_servers import SOURCE_VARIABLE, TARGET_VARIABLE
from tests.support.servers_used import ServersUsed, note_server
from tests.support.waiting import until_logged
from tests.support.workers import start_workers

# Folders that run last, where several processes share the files: by then there are only short files to give out.
LAST = ("integration", "unit")


@pytest.fixture(autouse=True, scope="session")
def _environment() -> None:
    """Remove the user's own settings from the environment."""
    for name in ("QMIG_BROKER_URL", "QMIG_SECRET_KEY", "SOURCE_API_KEY", "TARGET_API_KEY"):
        os.environ.pop(name, None)


def _url(role: str, variable: str, directory: Path, stack: ExitStack) -> str:
    url = os.environ.get(variable)
    if url is None:
        url = stack.enter_context(EmbeddedQdrant(directory)).url
    with Server(Endpoint.parse(url, variable), role) as server:
        kind = "real" if variable in os.environ else "embedded"
        note_server(role, f"{kind} Qdrant {server_version(server)} at {url}")
    return url


@pytest.fixture(scope="session")
def source_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        yield _url("source", SOURCE_VARIABLE, tmp_path_factory.mktemp("source"), stack)


@pytest.fixture(scope="session")
def target_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        yield _url("target", TARGET_VARIABLE, tmp_path_factory.mktemp("target"), stack)


@pytest.fixture(scope="session")
def source_server(source_url: str) -> Iterator[Server]:
    with Server(Endpoint.parse(source_url, "source"), "source") as server:
        yield server


@pytest.fixture(scope="session")
def target_server(target_url: str) -> Iterator[Server]:
    with Server(Endpoint.parse(target_url, "target"), "target") as server:
        yield server


@pytest.fixture
def make_ends(source_server: Server, target_server: Server) -> Iterator[Callable[[], Ends]]:
    """Make as many ends as a test needs."""
    every: list[Ends] = []

    def make() -> Ends:
        names = (new_name("source"), new_name("target"), new_name("ledger"))
        every.append(Ends(source_server, target_server, *names))
        return every[-1]

    yield make
    for made in every:
        delete(source_server, made.source_name)
        delete(target_server, made.target_name)
        delete(target_server, made.ledger)


@pytest.fixture
def ends(make_ends: Callable[[], Ends]) -> Ends:
    return make_ends()


@pytest.fixture
def source_points() -> int:
    """How many points `filled` has; a file overrides it."""
    return POINTS


@pytest.fixture
def filled(ends: Ends, source_points: int) -> Ends:
    """Ends with a filled source."""
    fill_source(ends, source_points)
    return ends


@pytest.fixture(scope="session")
def custom_sharding(source_server: Server, target_server: Server) -> None:
    """Skip the test if a server cannot shard by key."""
    for server in (source_server, target_server):
        name = new_name("custom")
        try:
            create(server, name, dense_params(), sharding_method=api.Custom)
            create_shard_key(server, name, '"a"')
        except QmigError as error:
            pytest.skip(f"no custom sharding: {error}")
        finally:
            delete(server, name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        note_server("broker", "Redis of its own")
        yield server


@pytest.fixture(scope="session")
def fleet_workers(redis_server: EmbeddedRedis) -> Iterator[ChildProcess]:
    """Two workers that many tests share."""
    workers = start_workers(redis_server.url)
    yield workers
    workers.stop()


@pytest.fixture(scope="session")
def fleet(redis_server: EmbeddedRedis, fleet_workers: ChildProcess) -> str:  # noqa: ARG001
    """The URL of a broker with two workers on it."""
    return redis_server.url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the last lines of the shared workers to the report of a test that failed with them."""
    report = yield
    workers = getattr(item, "funcargs", {}).get("fleet_workers")
    if report.failed and workers is not None:
        state = "run" if workers.running else f"have ended ({workers.wait()})"
        report.sections.append((f"the shared workers {state}", workers.read_stderr()[-5000:]))
    return report


@pytest.fixture(scope="session")
def idle_broker() -> Iterator[str]:
    """A broker that no worker listens to; its URL."""
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture(scope="session")
def qmig() -> Run:
    """Call `qmig` as a process: `qmig("qdrant", …, broker=url, env={…})`."""
    return run_command


@pytest.fixture
def migrate(qmig: Run, fleet: str, ends: Ends) -> Run:
    """Call `qmig qdrant` between the ends, through other URLs if they are given, over the shared fleet."""

    def run(
        *arguments: str, source: str | None = None, target: str | None = None, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        return qmig("qdrant", *ends.through(source, target), *arguments, **{"broker": fleet, **settings})

    return run


@pytest.fixture
def plan_only(idle_broker: str, ends: Ends) -> Callable[..., None]:
    """Begin a migration between the ends, and stop it before its first point."""

    def run(*arguments: str) -> None:
        process = ChildProcess(
            [sys.executable, "-m", "qmig", "qdrant", *ends.arguments, *arguments],
            name="the migration",
            env={"QMIG_BROKER_URL": idle_broker},
        )
        until_logged(process, "planned")
        process.stop(timeout=60)
        assert process.wait() == 130, process.read_stderr()

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LAST.index(folder) if folder in LAST else -1

    items.sort(key=place)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ServersUsed())
