"""Ids are read from answers as they are, and a digest tells whether they are still the same."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as api

from qmig.qdrant.batch import Batch, InvalidRow
from qmig.qdrant.ids import batch_ids, digest, got_ids, id_text, raw_id_of, scrolled_ids
from qmig.qdrant.payload import to_payload

IDS = st.integers(0, 2**64 - 1).map(str) | st.uuids().map(str)
#: Points with a payload, a shard key or more of it than their length tells in one byte.
MORE = st.sampled_from([{}, {"a": 1}, {"a": "x" * 200}])


def retrieved(key: str, payload: dict[str, object]) -> api.RetrievedPoint:
    return api.RetrievedPoint(
        id=api.PointId.FromString(raw_id_of(key)), payload=to_payload(payload), shard_key=api.ShardKey(keyword="eu")
    )


@given(st.lists(st.tuples(IDS, MORE)), st.none() | IDS)
def test_ids_of_every_answer_are_read_in_their_order(points: list[tuple[str, dict[str, object]]], page: str) -> None:
    found = [retrieved(*one) for one in points]
    next_page = None if page is None else api.PointId.FromString(raw_id_of(page))
    scrolled = api.ScrollResponse(result=found, next_page_offset=next_page, time=0.5).SerializeToString()
    got = api.GetResponse(result=found, time=0.5).SerializeToString()

    ids, following = scrolled_ids(scrolled)

    assert [id_text(one) for one in ids] == [key for key, _ in points]
    assert following == next_page
    assert got_ids(got) == ids


def test_the_ids_of_a_batch_have_those_of_its_invalid_rows_in_their_place() -> None:
    points = [api.PointStruct(id=api.PointId(num=key)).SerializeToString() for key in (1, 4)]
    rejected = str(uuid.UUID(int=7))
    rows = (InvalidRow("k2", "2", "no", 1), InvalidRow("k3", rejected, "no", 1), InvalidRow("k5", "5", "no", 2))
    ids = batch_ids(Batch(points, None, rows))
    assert ids == b"".join(map(raw_id_of, ["1", "2", rejected, "4", "5"]))


@given(st.lists(IDS, unique=True), st.integers(0, 9))
def test_a_digest_does_not_depend_on_where_a_range_is_cut(keys: list[str], cut: int) -> None:
    ids = [raw_id_of(key) for key in keys]
    whole = digest(b"".join(ids))
    assert digest(b"".join(ids[cut:]), digest(b"".join(ids[:cut]))) == whole


@pytest.mark.parametrize("other", [["1", "2"], ["1", "2", "4"], ["1", "3", "2"], []])
def test_a_digest_of_other_ids_is_another(other: list[str]) -> None:
    assert digest(b"".join(map(raw_id_of, other))) != digest(b"".join(map(raw_id_of, ["1", "2", "3"])))
