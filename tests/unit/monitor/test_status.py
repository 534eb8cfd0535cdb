"""The status of a migration comes from its records, and is the same in JSON."""

import json
from dataclasses import replace

from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, State
from qmig.migration import Endpoint, Migration, SourceSpec, TargetSpec
from qmig.monitor.progress import Progress
from qmig.monitor.rates import Rate, Sample
from qmig.monitor.status import MigrationStatus, to_json

MIGRATION = Migration(
    SourceSpec("qdrant", Endpoint("a", 6334), "products"), TargetSpec(Endpoint("b", 6334, tls=True), "products_v2")
)
RECORD = MigrationRecord(MIGRATION.id, MIGRATION, planned=True, chunks=5, expected=500, started=1000.0)
WAITING = "target https://b:6334: connection refused"


def chunk(index: int, **fields: object) -> ChunkRecord:
    plain = ChunkRecord(RECORD.migration, index, None, str(100 * index), str(100 * index + 100), expected=100)
    return replace(plain, **fields)


CHUNKS = [
    chunk(0, state=State.DONE, acknowledged=100, bytes=1000, seconds=2.0, retries=3, retry_reasons={"other": 3}),
    chunk(1, state=State.RUNNING, acknowledged=60, bytes=600, seconds=2.0, owner="host-b/7/1.0/x/y"),
    chunk(2, state=State.RUNNING, acknowledged=20, seconds=2.0, owner="host-a/9/1.0/x/y", waiting=WAITING, retries=1),
    chunk(3, state=State.FAILED, error="the point 7 has a wrong dimension"),
    chunk(4),
]


def status(record: MigrationRecord = RECORD, chunks: list[ChunkRecord] = CHUNKS, *points: int) -> MigrationStatus:
    """A rate from samples with these points, two seconds apart."""
    rate = Rate()
    for number, seen in enumerate(points):
        rate.add(Sample(2.0 * number, seen, 10 * seen))
    progress = Progress.of(chunks)
    progress.total = record.expected
    return MigrationStatus.of_record(record, progress, rate, {"host-a/9": 10.0, "host-b/7": 30.0, "host-c/8": 5.0})


def test_ends_and_sums() -> None:
    one = status()

    assert (one.source.url, one.source.collection) == ("http://a:6334", "products")
    assert (one.target.url, one.target.collection) == ("https://b:6334", "products_v2")
    assert (one.points, one.expected_points, one.share, one.bytes) == (180, 500, 0.36, 1600)
    assert one.chunk_states == {"done": 1, "failed": 1, "pending": 1, "running": 2}
    assert (one.retries, one.retry_reasons) == (4, {"other": 3})


def test_the_map_has_a_letter_a_chunk() -> None:
    assert status().chunk_map == "drtfw"


def test_workers_are_named_with_what_each_is_at_and_its_share() -> None:
    first, second = status().workers

    assert (first.host, first.process, first.chunk.index, first.chunk.state) == ("host-a", 9, 2, "retrying")
    assert (second.host, second.process, second.chunk.index, second.chunk.state) == ("host-b", 7, 1, "running")
    assert (first.share, second.share) == (0.25, 0.75)
    assert (first.points_per_second, second.points_per_second) == (10.0, 30.0)


def test_chunks_that_wait_are_counted_by_why() -> None:
    assert [(one.chunks, one.reason) for one in status().waiting_chunks] == [
        (1, WAITING),
        (1, "until a worker is free"),
    ]
    paused = status(replace(RECORD, state=State.PAUSED))
    assert paused.waiting_chunks[-1].reason == "the migration is paused"


def test_chunks_that_wait_for_one_server_are_one_line_whatever_their_words() -> None:
    waiting = [
        chunk(0, state=State.RUNNING, owner="a/1/1.0/x/y", waiting=WAITING, waiting_seconds=3.0),
        chunk(1, state=State.RUNNING, owner="a/2/1.0/x/y", waiting=WAITING, waiting_seconds=12.0),
        chunk(2, state=State.RUNNING, owner="b/1/1.0/x/y", waiting="target https://b:6334: Socket closed"),
        chunk(3, state=State.RUNNING, owner="b/2/1.0/x/y", waiting="source http://a:6334: Socket closed"),
    ]

    lines = [(one.chunks, one.reason, one.seconds) for one in status(RECORD, waiting).waiting_chunks]

    assert lines == [(3, WAITING, 12.0), (1, "source http://a:6334: Socket closed", 0.0)]


def test_slowest_and_failed_chunks_are_named() -> None:
    slow = [chunk(index, state=State.DONE, seconds=float(index)) for index in range(9)]

    assert [one.index for one in status(RECORD, slow).slowest_chunks] == [8, 7, 6, 5, 4]
    (failed,) = status().failed_chunks
    assert (failed.index, failed.error) == (3, "the point 7 has a wrong dimension")


def test_the_time_left_comes_with_a_rate_and_not_before() -> None:
    assert status(RECORD, CHUNKS, 100).eta_seconds is None
    assert status(RECORD, CHUNKS, 180, 180).eta_seconds is None

    one = status(RECORD, CHUNKS, 100, 180)

    assert (one.points_per_second, one.bytes_per_second, one.rate_seconds) == (40.0, 400.0, 2.0)
    assert one.eta_seconds == 320 / 40


def test_a_migration_that_is_not_running_has_neither_rate_nor_time_left() -> None:
    for state in (State.PREPARING, State.PAUSED, State.STOPPED, State.CANCELLED, State.FAILED, State.DONE):
        one = status(replace(RECORD, state=state), CHUNKS, 100, 180)
        assert (one.points_per_second, one.eta_seconds, one.seconds_since_progress) == (None, None, 0.0)


def test_seconds_without_progress_are_zero_once_every_chunk_is_done() -> None:
    assert status(RECORD, CHUNKS, 180, 180).seconds_since_progress == 2.0

    done = [chunk(index, state=State.DONE, acknowledged=100) for index in range(5)]

    assert status(RECORD, done, 500, 500).seconds_since_progress == 0.0


def test_a_plan_that_still_grows_is_never_all_done() -> None:
    done = [chunk(0, state=State.DONE, acknowledged=100)]

    assert status(replace(RECORD, chunks=1, planned=False), done).share < 1.0


def test_a_verification_names_its_migration() -> None:
    one = status(replace(RECORD, job=JobKind.VERIFY, verifies=RECORD.migration))

    assert (one.job, one.verifies) == ("verify", RECORD.migration)
    assert (status().job, status().verifies) == ("copy", None)


def test_the_json_is_an_object_for_one_and_an_array_for_several() -> None:
    one = json.loads(to_json(status()))

    assert one["id"] == RECORD.migration
    assert one["workers"][0]["chunk"]["waiting"] == WAITING
    assert json.loads(to_json([status(), status()])) == [one, one]
    assert "\n" not in to_json(status(), indent=None)
