"""Shard keys that a migration creates in the target: used once their replicas are active, numbers or text."""

import re
from collections.abc import Iterator

import grpc
import pytest
from qdrant_client import grpc as api

from qmig.qdrant.shard_keys import shard_keys
from tests.support.collections import contents, create, dense_params
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.grpc_proxy import GrpcProxy, Refusal, Reply
from tests.support.migrations import chunks_of, fill_source, finish, own_fleet, start
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("custom_sharding")

CLUSTER_INFO = "/qdrant.Collections/CollectionClusterInfo"
NOT_ACTIVE = Refusal(
    grpc.StatusCode.INTERNAL,
    "Service internal error: Failed to apply operation to at least one `Active` replica. Consistency of this update "
    "is not guaranteed. Please retry. ",
)


class SlowKeys(GrpcProxy):
    """Shows every replica as being initialized, and takes no point, until `ready` is set."""

    def __init__(self, ends: Ends) -> None:
        super().__init__(ends.target.endpoint)
        self.ready = False
        self.upserts_refused = 0
        self._target = ends.target_name
        self.reply = self._refuse
        self.alter = self._not_active

    def _refuse(self, path: str, request: bytes) -> Reply | None:
        if not path.endswith("/Upsert") or api.UpsertPoints.FromString(request).collection_name != self._target:
            return None
        self.upserts_refused += not self.ready
        return None if self.ready else NOT_ACTIVE

    def _not_active(self, path: str, answer: bytes) -> bytes:
        if path != CLUSTER_INFO or self.ready:
            return answer
        cluster = api.CollectionClusterInfoResponse.FromString(answer)
        for shard in cluster.local_shards:
            shard.state = api.ReplicaState.Initializing
        return cluster.SerializeToString()


@pytest.fixture
def slow(ends: Ends) -> Iterator[SlowKeys]:
    fill_source(ends, 200)
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)
    with SlowKeys(ends) as proxy:
        yield proxy


def beats(ends: Ends) -> int:
    return sum(chunk.heartbeat for chunk in chunks_of(ends))


def test_a_new_key_is_waited_for_with_heartbeats_and_shown(ends: Ends, slow: SlowKeys, qmig: Run) -> None:
    routed = ["--target-shard-key-field", "title", "--chunk-size", "100"]
    set_titles(ends)
    with own_fleet() as (redis, _):
        running = start(ends, "--target-url", slow.url, *routed, broker=redis.url)
        shown = until(
            lambda: re.search(r"the target creates \d shard keys?: .*", qmig("status", *ends.where).stdout),
            "the shard keys in the status",
            running,
        )
        assert '"odd"' in shown[0] or '"even"' in shown[0]
        before = beats(ends)
        until(lambda: beats(ends) >= before + 3, "heartbeats meanwhile", running)
        assert all(chunk.claims <= 1 for chunk in chunks_of(ends))
        # No point is sent to a key that is not ready.
        assert slow.upserts_refused == 0
        slow.ready = True
        finish(running)
    assert [placement.key for placement in shard_keys(ends.target, ends.target_name)] == ["even", "odd"]
    found = contents(ends.target, ends.target_name, '"even"') | contents(ends.target, ends.target_name, '"odd"')
    assert found == contents(ends.source, ends.source_name)
    assert not any(chunk.waiting or chunk.error for chunk in chunks_of(ends))


def test_a_key_that_is_never_ready_fails_after_the_time_for_retries(ends: Ends, slow: SlowKeys, qmig: Run) -> None:
    set_titles(ends)
    with own_fleet() as (redis, _):
        result = qmig(
            "qdrant", *ends.through(target=slow.url), "--target-shard-key-field", "title", "--retry-for", "1s",
            broker=redis.url,
        )  # fmt: skip
    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "has no active replica yet" in line


def set_titles(ends: Ends) -> None:
    """Give each point of the source one of two titles."""
    for number, title in enumerate(("even", "odd")):
        is_even = api.Condition(field=api.FieldCondition(key="even", match=api.Match(boolean=number == 0)))
        request = api.SetPayloadPoints(
            collection_name=ends.source_name,
            wait=True,
            payload={"title": api.Value(string_value=title)},
            points_selector=api.PointsSelector(filter=api.Filter(must=[is_even])),
        )
        ends.source.call(ends.source.points.SetPayload, request)


@pytest.mark.parametrize(("given", "key", "shown"), [("7", 7, "7"), ('"7"', "7", '"7"'), ("007", "007", '"007"')])
def test_digits_name_a_number_and_quotes_text(
    ends: Ends, migrate: Run, given: str, key: int | str, shown: str
) -> None:
    fill_source(ends, 50)
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)

    result = migrate("--target-shard-key", given)

    assert result.returncode == 0, result.stderr
    assert [placement.key for placement in shard_keys(ends.target, ends.target_name)] == [key]
    other = migrate("--target-shard-key", "8")
    assert other.returncode == 2
    assert f"plan routes points to shard key {shown}, not to shard key 8;" in other.stderr
