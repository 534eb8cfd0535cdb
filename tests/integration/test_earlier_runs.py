"""Tasks of an earlier run, which may have an old API key in them, do nothing and break nothing."""

from collections.abc import Iterator

import pytest

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.sealing import SECRET_VARIABLE, new_secret
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.embedded.redis import EmbeddedRedis
from qmig.errors import AccessError
from qmig.jobs.runner import EARLIER_RUN, Worker
from qmig.jobs.supervisor import SUPERSEDED
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Credentials, Endpoint, Migration, SourceSpec, TargetSpec
from qmig.qdrant.server import Server
from tests.support.collections import new_name

KEY = "the new key"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger in a target that takes the new key alone."""
    with EmbeddedQdrant(tmp_path_factory.mktemp("locked"), api_key=KEY) as target:
        endpoint = Endpoint.parse(target.url, "target")
        with Server(endpoint, "target", KEY) as server:
            ledger = Ledger(server, new_name("ledger"))
            ledger.create()
            yield ledger


@pytest.fixture
def migration(ledger: Ledger) -> Migration:
    """A migration in the ledger, in its second run, whose only chunk waits for a worker."""
    endpoint = ledger.server.endpoint
    migration = Migration(
        SourceSpec("qdrant", endpoint, new_name("source")), TargetSpec(endpoint, new_name("target"), ledger.name)
    )
    ledger.save_migration(MigrationRecord(migration.id, migration, run="second", planned=True, chunks=1))
    ledger.save_chunks([ChunkRecord(migration.id, 0, None, None, None)])
    return migration


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv(SECRET_VARIABLE, new_secret())
    with EmbeddedRedis() as server, Fleet(server.url) as fleet:
        yield fleet


def task_with(migration: Migration, key: str) -> MigrationTask:
    credentials = Credentials(source_api_key=key, target_api_key=key)
    return MigrationTask(migration=migration.id, access=AccessGrant.of(migration, credentials).to_text())


def chunk_of(task: MigrationTask, run: str) -> ChunkTask:
    return ChunkTask(migration_task=task, run=run, chunk=0)


def test_a_chunk_of_an_earlier_run_is_left_alone(ledger: Ledger, migration: Migration, fleet: Fleet) -> None:
    worker, task = Worker(lambda: fleet), task_with(migration, KEY)
    fleet.registry.register(task)
    assert worker.run_chunk(chunk_of(task, "first"), print) == EARLIER_RUN
    (chunk,) = ledger.chunks(migration.id, [0])
    assert (chunk.state, chunk.claims, chunk.error) == (State.PENDING, 0, None)


def test_its_end_registers_nothing(migration: Migration, fleet: Fleet) -> None:
    worker, task = Worker(lambda: fleet), task_with(migration, KEY)
    earlier = chunk_of(task, "first")
    worker.run_chunk(earlier, print)
    worker.after_chunk(earlier)
    assert fleet.registry.registered() == []
    assert fleet.queued() == 0


def test_a_chunk_with_a_key_that_was_replaced_does_nothing(
    ledger: Ledger, migration: Migration, fleet: Fleet
) -> None:
    worker, old, new = Worker(lambda: fleet), task_with(migration, "an old key"), task_with(migration, KEY)
    fleet.registry.register(new)
    assert worker.run_chunk(chunk_of(old, "first"), print) == EARLIER_RUN
    worker.after_chunk(chunk_of(old, "first"))
    assert fleet.registry.registered() == [new]
    (chunk,) = ledger.chunks(migration.id, [0])
    assert (chunk.state, chunk.claims, chunk.error) == (State.PENDING, 0, None)


def test_a_key_that_is_wrong_in_this_run_is_said(migration: Migration, fleet: Fleet) -> None:
    worker, wrong = Worker(lambda: fleet), task_with(migration, "a wrong key")
    fleet.registry.register(wrong)
    with pytest.raises(AccessError):
        worker.run_chunk(chunk_of(wrong, "second"), print)


def test_supervision_with_a_key_that_was_replaced_neither_fails_the_migration_nor_registers_itself(
    ledger: Ledger, migration: Migration, fleet: Fleet
) -> None:
    worker, old, new = Worker(lambda: fleet), task_with(migration, "an old key"), task_with(migration, KEY)
    fleet.registry.register(old)
    fleet.registry.register(new)
    assert worker.supervise(old) == SUPERSEDED
    assert fleet.registry.registered() == [new]
    record = ledger.migration(migration.id)
    assert record is not None
    assert (record.state, record.error) == (State.RUNNING, None)
    assert worker.supervise(new) == "queued 1 chunk"


def test_supervision_of_what_is_not_registered_does_nothing(migration: Migration, fleet: Fleet) -> None:
    worker, task = Worker(lambda: fleet), task_with(migration, KEY)
    assert worker.supervise(task) == SUPERSEDED
    assert fleet.registry.registered() == []
    assert fleet.queued() == 0


def test_the_end_of_an_earlier_supervision_does_not_forget_the_newer_registration(
    migration: Migration, fleet: Fleet
) -> None:
    old, new = task_with(migration, "an old key"), task_with(migration, KEY)
    fleet.registry.register(new)
    fleet.registry.forget(old)
    assert fleet.registry.registered() == [new]
    assert not fleet.registry.is_forgotten(migration.id)
    fleet.registry.forget(new)
    assert fleet.registry.registered() == []
    assert fleet.registry.is_forgotten(migration.id)
