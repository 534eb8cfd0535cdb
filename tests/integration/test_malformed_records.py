"""A record of the ledger that cannot be read is one line with its id, and hides nothing else."""

import json
import subprocess
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from qmig.errors import TerminalError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import PLAN, chunk_id
from qmig.ledger.rejects import RejectRecord, save_rejects
from qmig.monitor.flower.feed import Feed
from qmig.qdrant import messages as api
from qmig.qdrant.payload import to_payload
from tests.support.collections import point
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source

FOREIGN = 4711


def payload_of(ends: Ends, record: str, **fields: Any) -> None:
    """Change fields of a record by hand."""
    request = api.SetPayloadPoints(
        collection_name=ends.ledger,
        wait=True,
        payload=to_payload(fields),
        points_selector=api.PointsSelector(points=api.PointsIdsList(ids=[api.PointId(uuid=record)])),
    )
    ends.target.call(ends.target.points.SetPayload, request)


def upsert(ends: Ends, key: int | str, **fields: Any) -> None:
    request = api.UpsertPoints(collection_name=ends.ledger, wait=True, points=[point(key, payload=fields)])
    ends.target.call(ends.target.points.Upsert, request)


def state(ends: Ends, migration: str) -> None:
    payload_of(ends, migration, state="dreaming")


def version(ends: Ends, migration: str) -> None:
    payload_of(ends, migration, version=99)


def definition(ends: Ends, migration: str) -> None:
    payload_of(ends, migration, definition={"source": "somewhere"})


@pytest.fixture
def migrations(ends: Ends, migrate: Run) -> tuple[str, str]:
    """The ids of a migration and of its verification, both done."""
    fill_source(ends, 100)
    assert migrate("-c", "--verify").returncode == 0
    first, second = Ledger(ends.target, ends.ledger).migrations()
    return first.migration, second.migration


def warnings(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return [line for line in result.stderr.splitlines() if line.startswith("warning: ")]


@pytest.mark.parametrize("spoil", [state, version, definition], ids=["state", "version", "definition"])
def test_the_others_are_listed(
    ends: Ends, migrations: tuple[str, str], qmig: Run, spoil: Callable[[Ends, str], None]
) -> None:
    sound, spoilt = migrations
    spoil(ends, spoilt)

    listed = qmig("list", *ends.where, "--json")

    [line] = warnings(listed)
    assert spoilt in line
    assert [one["id"] for one in json.loads(listed.stdout)] == [sound]
    status = qmig("status", *ends.where, sound[:8], "--json")
    assert json.loads(status.stdout)["id"] == sound
    assert json.loads(qmig("status", *ends.where, "--json").stdout)["id"] == sound


def test_the_one_that_is_named_is_refused_with_its_line(ends: Ends, migrations: tuple[str, str], qmig: Run) -> None:
    _, spoilt = migrations
    state(ends, spoilt)

    for command in ("status", "pause", "rejects"):
        result = qmig(command, *ends.where, spoilt[:8])
        assert result.returncode == 1
        [line] = result.stderr.splitlines()
        assert line.startswith(f"Error: the record {spoilt} ")
        assert "`$.state`" in line
    unknown = qmig("status", *ends.where, "f00")
    assert f"{spoilt[:8]} (cannot be read, see `qmig list`)" in unknown.stderr


def test_a_point_that_is_no_record_is_told_by_its_id(ends: Ends, migrations: tuple[str, str], qmig: Run) -> None:
    upsert(ends, FOREIGN, record="migration", title="not ours")
    upsert(ends, str(uuid.uuid4()), title="not ours, and no record at all")

    listed = qmig("list", *ends.where, "--json")

    [line] = warnings(listed)
    assert f"the record {FOREIGN} " in line
    assert {one["id"] for one in json.loads(listed.stdout)} == set(migrations)


def test_a_chunk_that_cannot_be_read_is_a_line_of_its_migration(
    ends: Ends, migrations: tuple[str, str], qmig: Run
) -> None:
    spoilt, sound = migrations
    payload_of(ends, chunk_id(spoilt, 0), owner=7)

    statuses = json.loads(qmig("list", *ends.where, "--json").stdout)

    problems = {one["id"]: one["problem"] for one in statuses}
    assert problems[sound] is None
    assert chunk_id(spoilt, 0) in problems[spoilt]


def test_a_plan_that_cannot_be_read_is_not_replaced(ends: Ends, migrations: tuple[str, str]) -> None:
    migration, _ = migrations
    payload_of(ends, chunk_id(migration, PLAN), heartbeat="once")

    with pytest.raises(TerminalError, match=chunk_id(migration, PLAN)):
        Ledger(ends.target, ends.ledger).plan(migration)


def test_the_other_rejects_are_listed(ends: Ends, migrations: tuple[str, str], qmig: Run) -> None:
    migration, _ = migrations
    rejects = [RejectRecord(migration, 0, None, key, key, "too large", 100) for key in ("7", "8")]
    save_rejects(Ledger(ends.target, ends.ledger), rejects)
    payload_of(ends, rejects[0].id, read="many")

    listed = qmig("rejects", *ends.where, migration, "--json")

    [line] = warnings(listed)
    assert rejects[0].id in line
    assert [json.loads(row)["key"] for row in listed.stdout.splitlines()] == ["8"]


def test_flowers_page_and_metrics_have_the_others(ends: Ends, migrations: tuple[str, str]) -> None:
    sound, spoilt = migrations
    state(ends, spoilt)
    feed = Feed(ends.target.endpoint, None, ends.ledger, skip_tls_verification=False)

    snapshot = feed._poll()

    assert snapshot.problem is None
    assert [status.id for status in snapshot.statuses] == [sound]
    [line] = json.loads(snapshot.json)["malformed"]
    assert f"the record {spoilt} " in line
