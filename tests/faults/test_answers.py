"""Servers that answer with an error, or with less than Completed: transient errors are retried, visibly."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import grpc
import pytest
from celery import Celery

from tests.support.command import Run
from tests.support.fault_servers import DisturbedEnds
from tests.support.grpc_proxy import Refusal, Reply
from tests.support.migrations import SLOWLY, arrived, chunks_of, finish, own_fleet, start, until_copied
from tests.support.scripted_proxy import Answering
from tests.support.transient_replies import TRANSIENT
from tests.support.waiting import PATIENCE, until

TIMES = 2
REASON = "the shelf is being moved"


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=list(TRANSIENT))
def test_what_is_not_done_is_asked_for_again(
    refused: DisturbedEnds, source_answers: Answering, target_answers: Answering, qmig: Run, fleet: str, reply: Reply
) -> None:
    if isinstance(reply, Refusal):
        source_answers.answer("Scroll", reply, TIMES, refused.source_name)
    target_answers.answer("Upsert", reply, TIMES, refused.target_name)
    target_answers.answer("SetPayload", reply, TIMES, refused.ledger)

    result = qmig("qdrant", *refused.arguments, "-c", "--chunk-size", "3000", broker=fleet)

    assert result.returncode == 0, result.stderr
    assert source_answers.left("Scroll") == target_answers.left("Upsert") == target_answers.left("SetPayload") == 0
    assert f"{2 * TIMES if isinstance(reply, Refusal) else TIMES} retries" in result.stdout, result.stdout
    assert arrived(refused)


def test_a_target_whose_creation_was_not_answered_is_there(
    refused: DisturbedEnds, target_answers: Answering, qmig: Run, fleet: str
) -> None:
    lost = Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow", done=True)
    target_answers.answer("Create", lost, 1, refused.target_name)
    result = qmig("qdrant", *refused.arguments, "-c", broker=fleet)
    assert result.returncode == 0, result.stderr
    assert target_answers.left("Create") == 0
    assert arrived(refused)


def test_server_is_left_alone_for_as_long_as_it_asks(
    refused: DisturbedEnds, target_answers: Answering, qmig: Run, fleet: str
) -> None:
    asked = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Rate limit exceeded", "3")
    target_answers.answer("Upsert", asked, 1, refused.target_name)
    before = time.monotonic()
    result = qmig("qdrant", *refused.arguments, "-c", broker=fleet)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - before > 3
    assert "1 retry" in result.stdout


def test_terminal_error_fails_its_chunk_and_lets_the_others_finish(
    refused: DisturbedEnds, target_answers: Answering, qmig: Run, fleet: str
) -> None:
    broken = Refusal(grpc.StatusCode.INTERNAL, "Service internal error: the segment is broken")
    target_answers.answer("Upsert", broken, 1, refused.target_name)
    result = qmig("qdrant", *refused.arguments, "-c", "--chunk-size", "1500", broker=fleet)
    assert result.returncode == 1
    assert "1 chunk failed, the others are done" in result.stderr
    assert broken.details in result.stderr
    assert "The same command retries them" in result.stderr
    again = qmig("qdrant", *refused.arguments, broker=fleet)
    assert again.returncode == 0, again.stderr
    assert arrived(refused)


@contextmanager
def progress_events(broker: str) -> Iterator[list[str]]:
    """The progress events that tasks send to Flower, as they arrive."""
    told: list[str] = []
    app = Celery(broker=broker)
    with app.connection() as connection:
        receiver = app.events.Receiver(
            connection, handlers={"task-progress": lambda event: told.append(event["result"])}
        )
        listening = Thread(target=receiver.capture, kwargs={"timeout": PATIENCE}, daemon=True)
        listening.start()
        yield told
        receiver.should_stop = True
        listening.join()


@pytest.mark.parametrize("role", ["source", "target"])
def test_waiting_chunk_says_why_in_the_status_in_flower_and_in_the_live_view(
    refused: DisturbedEnds, source_answers: Answering, target_answers: Answering, qmig: Run, role: str
) -> None:
    answers, method = (source_answers, "Scroll") if role == "source" else (target_answers, "Upsert")
    collection = refused.source_name if role == "source" else refused.target_name
    with own_fleet() as (redis, _), progress_events(redis.url) as told:
        running = start(refused, *SLOWLY, broker=redis.url)
        until_copied(refused, 500)
        answers.answer(method, Refusal(grpc.StatusCode.UNAVAILABLE, REASON), 1_000_000, collection)
        why = f"waiting: {role} {answers.url}: {REASON}"

        until(lambda: any(chunk.waiting for chunk in chunks_of(refused)), "a chunk that says why it waits")
        until(
            lambda: f"{role} {answers.url}: {REASON}" in qmig("status", *refused.where).stdout,
            "the reason in the status",
        )
        until(lambda: any(why in text for text in told), "the reason in Flower's events")
        until(lambda: why in running.read_stderr(), "the reason in the live view")
        answers.restore()
        finish(running)
    assert arrived(refused)
    assert not any(chunk.waiting for chunk in chunks_of(refused))
