"""The history of a migration covers all of its run, in few samples."""

from dataclasses import replace

from qmig.ledger.records import State
from qmig.monitor.flower.history import MAX_SAMPLES, History
from tests.unit.monitor.test_status import CHUNKS, RECORD, status


def test_a_long_run_keeps_its_beginning_and_its_end_in_few_samples() -> None:
    history, one = History(), status()

    for sample in range(5000):
        history.add(2.0 * sample, replace(one, points=100 * sample))

    assert MAX_SAMPLES / 2 <= len(history.samples) <= MAX_SAMPLES
    assert history.samples[0][:2] == (0.0, 0)
    assert history.samples[-1][0] > 2.0 * 5000 - 60
    assert all(points == 50 * time for time, points, _ in history.samples)


def test_a_pause_is_seen_and_an_end_is_the_last() -> None:
    history, one = History(), status()
    paused, done = (status(replace(RECORD, state=state), CHUNKS) for state in (State.PAUSED, State.DONE))

    for time, seen in enumerate([one, paused, paused, replace(done, points=500), replace(done, points=500)]):
        history.add(float(time), seen)

    assert [sample[:2] for sample in history.samples] == [(0.0, 180), (1.0, 180), (2.0, 180), (3.0, 500)]


def test_a_migration_that_had_ended_before_has_no_history() -> None:
    history = History()

    history.add(1.0, status(replace(RECORD, state=State.DONE)))

    assert history.samples == []


def test_a_migration_that_begins_again_begins_a_new_history() -> None:
    history, one = History(), status()

    for time, points in ((0.0, 10), (2.0, 500), (4.0, 5)):
        history.add(time, replace(one, points=points))

    assert [sample[:2] for sample in history.samples] == [(4.0, 5)]
