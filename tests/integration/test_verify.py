"""Contents compared, not just counts: what is missing, different or extra is named, and can be repaired."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event
from typing import Any

import pytest

from qmig.embedded.processes import ChildProcess
from qmig.ledger import Ledger
from qmig.migration import Migration
from qmig.progress import Progress
from qmig.records import ChunkRecord
from qmig.sampling import in_share
from qmig.wire import api
from qmig.wire.keys import shard_key_selector
from qmig.wire.payload import to_payload
from tests.conftest import Ends, Run
from tests.contents import (
    contents,
    create,
    create_shard_key,
    dense,
    dense_params,
    dense_vector,
    fill,
    named,
    named_params,
    point,
    simple_points,
    sparse_vector,
)
from tests.integration.test_rejects import BAD, MEBIBYTE, fill_source, large, through
from tests.migrating import SLOWLY, record_of, until
from tests.wire_proxy import WireProxy

POINTS = 1500
IN_CHUNKS = ["-c", "--chunk-size", "500"]

Found = dict[str, Any]
Verify = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def verify(qmig: Run, fleet: str, ends: Ends) -> Verify:
    """`qmig verify` of the one migration between the ends, over the shared fleet."""

    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        return qmig("verify", *where(ends), *arguments, **{"broker": fleet, **settings})

    return run


def where(ends: Ends) -> list[str]:
    return ["--target-url", ends.target.endpoint.url, "--migration-offsets-collection-name", ends.ledger]


def found(result: subprocess.CompletedProcess[str]) -> Found:
    """What `--json` printed."""
    parsed: Found = json.loads(result.stdout)
    return parsed


@pytest.fixture
def migrated(ends: Ends, migrate: Run) -> Ends:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(POINTS))
    result = migrate(*IN_CHUNKS)
    assert result.returncode == 0, result.stderr
    return ends


def remove(ends: Ends, *keys: int, part: str | None = None, source: bool = False) -> None:
    server, name = (ends.source, ends.source_name) if source else (ends.target, ends.target_name)
    ids = api.PointsIdsList(ids=[api.PointId(num=key) for key in keys])
    request = api.DeletePoints(
        collection_name=name,
        wait=True,
        points=api.PointsSelector(points=ids),
        shard_key_selector=shard_key_selector(part),
    )
    server.call(server.points.Delete, request)


def overwrite(ends: Ends, *points: api.PointStruct) -> None:
    """Points of the target as somebody else has written them."""
    fill(ends.target, ends.target_name, points)


def with_payload(key: int, **changes: Any) -> api.PointStruct:
    """The simple point with this key and another payload; None among the changes is null, ... takes a key away."""
    changed = simple_points(key + 1)[key]
    for name, value in changes.items():
        if value is ...:
            del changed.payload[name]
        else:
            changed.payload[name].CopyFrom(to_payload({name: value})[name])
    return changed


@pytest.mark.usefixtures("migrated")
def test_equal_contents_end_in_status_0(verify: Verify) -> None:
    result = verify()
    assert result.returncode == 0, result.stderr
    assert f"{POINTS:,} points compared: all of them equal" in result.stdout
    assert "missing" not in result.stdout
    assert "extra" not in result.stdout


def test_a_missing_point_is_named_with_status_4(migrated: Ends, verify: Verify) -> None:
    remove(migrated, 7, 1200)
    result = verify()
    assert result.returncode == 4
    assert "missing 2: 7, 1200" in result.stdout
    assert "the source has no more points in these chunks than were copied" in result.stdout
    assert "Error: the target is not as the source is: 2 missing" in result.stderr


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (with_payload(9, number=9.0), "9: payload 'number': 9 ≠ 9.0"),
        (with_payload(9, title=...), "9: payload 'title': 'point 9' is missing in the target"),
        (with_payload(9, more=None), "9: payload 'more': null is in the target only"),
        (point(9, dense([9, 9.125, 9.25, 9.376]), {"title": "point 9", "number": 9, "even": False}), "≠ 9.376"),
    ],
)
def test_a_point_that_differs_is_named_with_what_differs(
    migrated: Ends, verify: Verify, changed: api.PointStruct, what: str
) -> None:
    overwrite(migrated, changed)
    result = verify()
    assert result.returncode == 4
    assert "different 1: 9\n" in result.stdout
    assert what in result.stdout


def test_null_is_not_an_absent_key(ends: Ends, migrate: Run, verify: Verify) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [point(1, dense([1, 2, 3, 4]), {"nothing": None, "a": {"b": None}})])
    assert migrate("-c").returncode == 0
    assert verify().returncode == 0

    overwrite(ends, point(1, dense([1, 2, 3, 4]), {"a": {"b": None}}))
    assert "payload 'nothing': null is missing in the target" in verify().stdout
    overwrite(ends, point(1, dense([1, 2, 3, 4]), {"nothing": None, "a": {}}))
    assert "payload 'a'.b: null is missing in the target" in verify().stdout


def test_vectors_are_compared_as_the_target_stores_them(ends: Ends, migrate: Run, verify: Verify) -> None:
    vectors = named_params(
        cosine=api.VectorParams(size=3, distance=api.Cosine),
        half=api.VectorParams(size=3, distance=api.Dot, datatype=api.Float16),
        byte=api.VectorParams(size=3, distance=api.Euclid, datatype=api.Uint8),
    )
    sparse = api.SparseVectorConfig(map={"sparse": api.SparseVectorParams()})
    create(ends.source, ends.source_name, vectors, sparse_vectors_config=sparse)
    one = named(
        cosine=dense_vector(3, 4, 5),
        half=dense_vector(0.1, 0.2, 1000.3),
        byte=dense_vector(1, 200, 255),
        sparse=sparse_vector({9: 0.5, 3: 0.25}),
    )
    fill(ends.source, ends.source_name, [point(1, one), point(2, named())])
    assert migrate("-c").returncode == 0
    result = verify()
    assert result.returncode == 0, result.stdout

    # The same direction, and the same once it is rounded.
    one.vectors.vectors["cosine"].dense.data[:] = [6, 8, 10]
    one.vectors.vectors["half"].dense.data[2] = 1000.4
    overwrite(ends, point(1, one))
    assert verify().returncode == 0

    one.vectors.vectors["cosine"].dense.data[:] = [6, 8, 10.01]
    overwrite(ends, point(1, one))
    result = verify()
    assert result.returncode == 4
    assert "1: vector 'cosine': direction differs by 0.0" in result.stdout


def test_extra_points_are_looked_for_when_asked(migrated: Ends, verify: Verify) -> None:
    fill(migrated.target, migrated.target_name, simple_points(30, start=5000))
    assert verify().returncode == 0

    result = verify("--extra")

    assert result.returncode == 4
    shown = ", ".join(str(5000 + place) for place in range(20))
    assert f"extra 30: {shown} and 10 more" in result.stdout
    assert "missing" not in result.stdout
    remove(migrated, *range(5000, 5030))
    result = verify("--extra")
    assert result.returncode == 0
    assert "all of them equal, and no point extra" in result.stdout


def test_repair_brings_over_what_is_missing_or_different_and_nothing_else(migrated: Ends, verify: Verify) -> None:
    before = contents(migrated.source, migrated.source_name)
    remove(migrated, *range(100, 200))
    overwrite(migrated, with_payload(9, number=9.0), with_payload(1499, title="other"))
    fill(migrated.target, migrated.target_name, simple_points(3, start=5000))

    result = verify("--repair", "--json")

    assert result.returncode == 0, result.stderr
    report = found(result)
    assert (report["missing"]["count"], report["different"]["count"], report["repaired"]) == (100, 2, 102)
    target = contents(migrated.target, migrated.target_name)
    assert {key: target.pop(str(key)) for key in range(5000, 5003)}
    assert target == before
    assert verify().returncode == 0


def test_extra_points_are_not_repaired(migrated: Ends, verify: Verify) -> None:
    remove(migrated, 5)
    fill(migrated.target, migrated.target_name, simple_points(2, start=5000))
    result = verify("--repair", "--extra", "--json")
    assert result.returncode == 4
    report = found(result)
    assert (report["missing"]["count"], report["extra"]["count"], report["repaired"]) == (1, 2, 1)


def test_a_sample_is_the_same_fair_share_at_each_look(migrated: Ends, verify: Verify) -> None:
    remove(migrated, *range(POINTS))
    chosen = {str(key) for key in range(POINTS) if in_share(str(key), 0.1)}
    assert 100 < len(chosen) < 200
    for _ in range(2):
        result = verify("--sample", "10%", "--json")
        assert result.returncode == 4
        report = found(result)
        assert report["compared"] == report["missing"]["count"] == len(chosen)
        assert set(report["missing"]["ids"]) < chosen
    repaired = verify("--sample", "10%", "--repair")
    assert repaired.returncode == 0
    assert contents(migrated.target, migrated.target_name).keys() == chosen


@pytest.mark.parametrize("sample", ["1", "0%", "101%", "%", "x%"])
def test_a_share_that_is_none_is_refused(verify: Verify, sample: str) -> None:
    result = verify("--sample", sample)
    assert result.returncode == 2
    assert "is not a percentage" in result.stderr


def test_what_json_says(migrated: Ends, verify: Verify) -> None:
    remove(migrated, 7)
    overwrite(migrated, with_payload(9, number=9.0))
    report = found(verify("--json"))
    record = record_of(migrated)
    assert record is not None
    assert report.pop("seconds") > 0
    assert report == {
        "migration": record.migration,
        "verification": Migration.from_json(record.definition).verification_id,
        "equal": False,
        "compared": POINTS,
        "share": 1.0,
        "missing": {"count": 1, "ids": ["7"], "may_be_new": 0, "more_in_source": 0},
        "different": {"count": 1, "ids": ["9"], "first": "9: payload 'number': 9 ≠ 9.0"},
        "extra": None,
        "rejected": {"count": 0, "ids": []},
        "repaired": 0,
        "refused": None,
        "changing": 0,
        "deleted": 0,
    }


def test_points_that_are_new_in_the_source_are_told_from_lost_ones(migrated: Ends, verify: Verify) -> None:
    fill(migrated.source, migrated.source_name, simple_points(15, start=5000))
    remove(migrated, 3)
    result = verify()
    assert result.returncode == 4
    assert "missing 16: 3, 5000, " in result.stdout
    assert (
        "the source has 15 more points in these chunks than were copied: up to 15 of the missing may be new since"
        in result.stdout
    )
    assert verify("--repair").returncode == 0
    assert contents(migrated.target, migrated.target_name) == contents(migrated.source, migrated.source_name)


def test_a_point_that_was_deleted_from_the_source_is_extra_and_not_missing(migrated: Ends, verify: Verify) -> None:
    remove(migrated, 3, source=True)
    assert verify().returncode == 0
    result = verify("--extra")
    assert result.returncode == 4
    assert "extra 1: 3\n" in result.stdout


def test_a_point_that_is_being_written_to_is_counted_as_such(migrated: Ends, verify: Verify) -> None:
    ended = Event()

    def write() -> None:
        for number in count():
            fill(migrated.source, migrated.source_name, [with_payload(9, number=number)])
            if ended.is_set():
                return

    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(write)
        result = verify("--json")
        ended.set()
        writing.result()
    assert result.returncode == 4
    report = found(result)
    assert (report["different"]["count"], report["changing"], report["missing"]["count"]) == (1, 1, 0)
    # Brought over once it is at rest.
    assert verify("--repair").returncode == 0
    assert contents(migrated.target, migrated.target_name) == contents(migrated.source, migrated.source_name)


def test_a_migration_that_lost_points_is_brought_to_its_end_by_a_repair(
    migrated: Ends, migrate: Run, verify: Verify
) -> None:
    remove(migrated, 7, 8)
    result = migrate("-c")
    assert result.returncode == 1
    assert "`qmig verify --repair` brings over what is missing" in result.stderr
    assert verify("--repair").returncode == 0
    assert migrate("-c").returncode == 0


def test_points_that_could_not_be_copied_are_told_apart(ends: Ends, qmig: Run, fleet: str, verify: Verify) -> None:
    fill_source(ends, large)
    with WireProxy(ends.target.endpoint, max_message=MEBIBYTE) as proxy:
        skipping = [*through(ends, target=proxy.url), *IN_CHUNKS, "--on-error", "skip"]
        assert qmig("qdrant", *skipping, broker=fleet).returncode == 3

        result = verify("--json")
        assert result.returncode == 3, result.stdout
        report = found(result)
        assert report["rejected"] == {"count": len(BAD), "ids": list(map(str, BAD))}
        assert report["missing"]["count"] == 0
        assert report["equal"] is False
        assert "4 points could not be copied and are missing, everything else is equal" in result.stderr

        # A point that is lost besides, and that cannot be brought over either.
        assert qmig("qdrant", *ends.arguments, "--retry-rejects", broker=fleet).returncode == 0
        assert verify().returncode == 0
        remove(ends, 3, 4)
        arguments = where(ends)
        arguments[arguments.index("--target-url") + 1] = proxy.url
        result = qmig("verify", *arguments, "--repair", broker=fleet)
    assert result.returncode == 4
    assert "missing 2: 3, 4" in result.stdout
    assert "not repaired: 3: target " in result.stdout
    assert "larger than max" in result.stdout
    assert "2 missing, 1 repaired" in result.stderr


@pytest.mark.usefixtures("custom_sharding")
def test_every_shard_key_is_compared_by_itself(ends: Ends, migrate: Run, verify: Verify) -> None:
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom)
    for part, number in (('"eu"', 100), ("7", 50), ('"empty"', 0)):
        create_shard_key(ends.source, ends.source_name, part)
        fill(ends.source, ends.source_name, [with_payload(key, part=part) for key in range(number)], part)
    assert migrate("-c").returncode == 0
    assert verify("--extra").returncode == 0

    remove(ends, 3, part="7")
    fill(ends.target, ends.target_name, simple_points(1, start=60), "7")
    result = verify("--extra")
    assert result.returncode == 4
    assert "missing 1: 3\n" in result.stdout
    assert "extra 1: 60\n" in result.stdout
    assert verify("--repair").returncode == 0
    assert contents(ends.target, ends.target_name, "7").keys() == {*map(str, range(50)), "60"}
    assert contents(ends.target, ends.target_name, '"eu"') == contents(ends.source, ends.source_name, '"eu"')


@pytest.mark.usefixtures("custom_sharding")
def test_points_under_a_shard_key_that_the_source_has_not_are_extra(ends: Ends, migrate: Run, verify: Verify) -> None:
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom)
    create_shard_key(ends.source, ends.source_name, '"a"')
    fill(ends.source, ends.source_name, simple_points(20), '"a"')
    assert migrate("-c").returncode == 0
    create_shard_key(ends.target, ends.target_name, '"theirs"')
    fill(ends.target, ends.target_name, simple_points(2), '"theirs"')

    result = verify("--extra")

    assert result.returncode == 4, result.stderr
    assert "extra 2: 0, 1\n" in result.stdout


@pytest.mark.usefixtures("custom_sharding")
@pytest.mark.parametrize("routing", [["--target-shard-key", "all"], ["--target-shard-key-field", "title"]])
def test_points_that_were_routed_are_found_where_they_went(
    ends: Ends, migrate: Run, verify: Verify, routing: list[str]
) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [with_payload(key, title=f"shard {key % 3}") for key in range(60)])
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)
    assert migrate(*routing).returncode == 0
    assert verify("--extra").returncode == 0

    # Under a shard key that the target has not got yet.
    fill(ends.source, ends.source_name, [with_payload(100, title="shard 9")])
    assert "missing 1: 100\n" in verify().stdout
    assert verify("--repair").returncode == 0
    assert verify("--extra").returncode == 0


def test_a_migration_verifies_itself_when_asked(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(100))
    result = migrate("-c", "--verify")
    assert result.returncode == 0, result.stderr
    assert "all 100 points are in the target" in result.stdout
    assert "100 points compared: all of them equal" in result.stdout

    overwrite(ends, with_payload(9, number=9.0))
    result = migrate("-c", "--verify")
    assert result.returncode == 4
    assert "different 1: 9\n" in result.stdout


def test_verify_starts_workers_of_its_own_without_a_broker(migrated: Ends, qmig: Run) -> None:
    result = qmig("verify", *where(migrated), "--workers", "1")
    assert result.returncode == 0, result.stderr
    assert "all of them equal" in result.stdout


def test_a_migration_is_named_by_its_id_or_by_its_ends(make_ends: Callable[[], Ends], qmig: Run, fleet: str) -> None:
    one, two = make_ends(), make_ends()
    for ends, points in ((one, 10), (two, 20)):
        create(ends.source, ends.source_name, dense_params())
        fill(ends.source, ends.source_name, simple_points(points))
        arguments = [*ends.arguments[:-1], one.ledger, "-c"]
        assert qmig("qdrant", *arguments, broker=fleet).returncode == 0
    records = {record.title: record.migration for record in Ledger(one.target, one.ledger).migrations()}

    result = qmig("verify", *where(one), broker=fleet)
    assert result.returncode == 2
    assert all(migration in result.stderr for migration in records.values())

    by_ends = ["--source-url", two.source.endpoint.url, "--source-collection", two.source_name]
    result = qmig("verify", *where(one), *by_ends, "--target-collection", two.target_name, broker=fleet)
    assert "20 points compared" in result.stdout
    beginning = records[f"{one.source_name} → {one.target_name}"][:10]
    assert "10 points compared" in qmig("verify", *where(one), beginning, broker=fleet).stdout
    result = qmig("verify", *where(one), "--source-collection", "another", broker=fleet)
    assert result.returncode == 2
    assert "there is no migration between these ends" in result.stderr


def test_a_migration_that_is_not_finished_is_not_verified(
    ends: Ends, plan_only: Callable[..., None], verify: Verify
) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(100))
    plan_only("-c")
    result = verify()
    assert result.returncode == 2
    assert "is stopped; verify it when it is done" in result.stderr


def test_a_verification_that_is_killed_goes_on_where_it_was(ends: Ends, migrate: Run, verify: Verify) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(20_000))
    assert migrate(*SLOWLY[:3], "-b", "20").returncode == 0
    remove(ends, 5, 19_999)
    command = [sys.executable, "-m", "qmig", "verify", *where(ends), "--workers", "1"]
    process = ChildProcess(command, name="qmig verify")
    until(lambda: Progress.of(verified(ends)).points > 2000, "2000 points compared")
    process.kill()
    process.wait()
    done = {chunk.index for chunk in verified(ends) if chunk.finished}
    assert len(done) < len(verified(ends))

    result = verify("--json")

    assert result.returncode == 4
    assert found(result)["missing"]["ids"] == ["5", "19999"]
    assert found(result)["compared"] == 20_000
    assert any(chunk.claims > 1 or chunk.index in done for chunk in verified(ends))
    assert all(chunk.claims == 1 for chunk in verified(ends) if chunk.index in done)
    # Finished, it begins again.
    points = simple_points(20_000)
    overwrite(ends, points[5], points[19_999])
    assert verify().returncode == 0


def test_a_verification_with_other_options_does_not_go_on_with_one_that_runs(
    migrated: Ends, verify: Verify, idle_broker: str
) -> None:
    command = [sys.executable, "-m", "qmig", "verify", *where(migrated)]
    process = ChildProcess(command, name="qmig verify", env={"QMIG_BROKER_URL": idle_broker})
    process.wait_for_log("chunks")
    until(lambda: bool(verified(migrated)), "its plan")
    result = verify("--extra")
    process.kill()
    process.wait()
    assert result.returncode == 2
    assert "a verification of this migration with other options is running" in result.stderr
    assert verify().returncode == 0


def verified(ends: Ends) -> list[ChunkRecord]:
    """The chunks of the verification of the one migration."""
    ledger, record = Ledger(ends.target, ends.ledger), record_of(ends)
    assert record is not None
    found = ledger.migration(Migration.from_json(record.definition).verification_id)
    return ledger.chunks(found.migration, range(found.chunks)) if found is not None else []


def test_status_attach_and_another_migrate_know_a_verification(
    migrated: Ends, verify: Verify, qmig: Run, migrate: Run
) -> None:
    remove(migrated, 7)
    verify()
    record = record_of(migrated)
    assert record is not None
    verification = Migration.from_json(record.definition).verification_id
    status = qmig("status", *where(migrated), verification).stdout
    assert f"verify {record.title}  done" in status
    assert "1 missing" in status
    attached = qmig("attach", *where(migrated), verification)
    assert "missing 1: 7\n" in attached.stdout
    again = migrate("-c", "--restart-migration")
    assert again.returncode == 0, again.stderr
    assert verify().returncode == 0
