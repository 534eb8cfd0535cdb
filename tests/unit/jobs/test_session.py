"""A worker keeps a few migrations open, each as its ledger defines it now."""

from dataclasses import replace

import pytest

from qmig.broker.access import AccessGrant
from qmig.broker.task import MigrationTask
from qmig.errors import TerminalError, TransientError
from qmig.jobs.session import MAX_OPEN, Session, Sessions
from qmig.ledger.records import MigrationRecord
from qmig.migration import Credentials, Endpoint, Migration, Options, SourceSpec, TargetSpec
from qmig.qdrant import messages as api

# No server answers there.
ENDPOINT = Endpoint("127.0.0.1", 9)


def migration_of(collection: str, options: Options | None = None) -> Migration:
    return migration_from(ENDPOINT, collection, options or Options())


def migration_from(source: Endpoint, collection: str, options: Options) -> Migration:
    return Migration(SourceSpec("qdrant", source, collection), TargetSpec(ENDPOINT, "copy"), options=options)


def task_of(migration: Migration) -> MigrationTask:
    return MigrationTask(migration=migration.id, access=AccessGrant.of(migration, Credentials()).to_text())


def record_of(migration: Migration) -> MigrationRecord:
    return MigrationRecord(migration.id, migration)


def is_closed(session: Session) -> bool:
    server = session.ledger.server
    try:
        server.call(server.health.HealthCheck, api.HealthCheckRequest(), retry_for=0)
    except TransientError:
        return False
    except ValueError as error:
        return "closed channel" in str(error)
    raise AssertionError("somebody answers at a port where nobody should")


def test_tasks_of_one_migration_share_a_session() -> None:
    sessions, task = Sessions(), task_of(migration_of("one"))
    opened = sessions.open(task)
    assert sessions.open(task) is opened
    opened.close()


def test_the_oldest_session_is_closed_for_a_new_one() -> None:
    sessions = Sessions()
    tasks = [task_of(migration_of(f"collection {number}")) for number in range(MAX_OPEN + 1)]
    opened = [sessions.open(task) for task in tasks]
    assert [is_closed(session) for session in opened] == [True] + [False] * MAX_OPEN
    assert [sessions.open(task) for task in tasks[1:]] == opened[1:]
    for session in opened[1:]:
        session.close()


def test_changed_options_count_from_the_next_task_on() -> None:
    sessions, migration = Sessions(), migration_of("one")
    task = task_of(migration)
    before = sessions.update(task, record_of(migration))
    assert before.options.batch_size is None
    assert before.batch_size is sessions.update(task, record_of(migration)).batch_size

    after = sessions.update(task, record_of(migration_of("one", Options(batch_size=7))))

    assert (after.options.batch_size, after.batch_size.limit) == (7, 7)
    assert after.source is not before.source
    assert after.ledger is before.ledger
    assert sessions.open(task) is after
    after.close()


def test_an_access_for_another_migration_is_refused() -> None:
    access = task_of(migration_of("other")).access
    with pytest.raises(TerminalError, match="its access is not for it"):
        Sessions().open(MigrationTask(migration=migration_of("one").id, access=access))


def test_a_ledger_that_names_other_ends_than_the_task_is_refused() -> None:
    sessions, migration = Sessions(), migration_of("one")
    elsewhere = migration_from(Endpoint("127.0.0.2", 9), "one", Options())
    with pytest.raises(TerminalError, match="other ends in its ledger"):
        sessions.update(task_of(migration), record_of(elsewhere))
    assert not sessions.is_in_ledger(task_of(migration), "")
    sessions.open(task_of(migration)).close()


def test_a_migration_is_in_its_ledger_when_its_record_was_seen_there() -> None:
    sessions, migration = Sessions(), migration_of("one")
    task = task_of(migration)
    assert not sessions.is_in_ledger(task, "a-run")
    sessions.open(task)
    assert not sessions.is_in_ledger(task, "a-run")
    sessions.update(task, replace(record_of(migration), run="a-run")).close()
    assert sessions.is_in_ledger(task, "a-run")
    assert not sessions.is_in_ledger(task, "another-run")
