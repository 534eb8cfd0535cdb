"""A Milvus behind a rate limit is waited for, without rejects; one that cannot count is refused."""

from collections import Counter

import grpc
from pymilvus import DataType

from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from qmig.sources.milvus.messages import common, milvus
from tests.support.collections import delete, exists, new_name
from tests.support.command import Run
from tests.support.grpc_proxy import GrpcProxy, Refusal, Reply
from tests.support.milvus.clients import connect
from tests.support.milvus.migration import Migration
from tests.support.milvus.servers import MilvusServer

ROWS = 60
REFUSALS: list[Reply] = [
    Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "rate limit exceeded"),
    Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota exceeded", retry_after="1"),
    milvus.QueryResults(status=common.Status(code=8, error_code=49, reason="rate limit")).SerializeToString(),
]


class Limiting(GrpcProxy):
    """Refuses every second query, each refusal in turn."""

    def __init__(self, behind: Endpoint) -> None:
        super().__init__(behind)
        self.refused: Counter[int] = Counter()
        self._queries = 0
        self.reply = self._refuse

    def _refuse(self, path: str, _request: bytes) -> Reply | None:
        if not path.endswith("/Query"):
            return None
        self._queries += 1
        if self._queries % 2:
            return None
        turn = self._queries // 2 % len(REFUSALS)
        self.refused[turn] += 1
        return REFUSALS[turn]


def test_a_rate_limit_makes_no_rejects(
    qmig: Run, fleet: str, milvus_lite: MilvusServer, target_server: Server
) -> None:
    name, target_name, ledger = "limited", new_name("target"), new_name("ledger")
    client = connect(milvus_lite.url)
    with Limiting(Endpoint.parse(milvus_lite.url, "")) as proxy:
        migration = Migration(qmig, fleet, proxy.url, client, name, target_server, target_name, ledger)
        migration.create(fields={"number": {"datatype": DataType.INT64}})
        migration.insert([{"pk": key, "number": 2 * key} for key in range(ROWS)])

        done = migration.run("-c", "--on-error", "skip", "--batch-size", "30", "--chunk-size", "60")

        assert done.returncode == 0, done.stderr
        assert f"all {ROWS} points are in the target" in done.stdout
        assert {point.payload["number"] for point in migration.points().values()} == {2 * key for key in range(ROWS)}
        assert sorted(proxy.refused) == list(range(len(REFUSALS)))
        client.drop_collection(name)
        client.close()
    for created in (target_name, ledger):
        delete(target_server, created)


def test_a_server_that_cannot_count_is_refused_in_one_line(
    qmig: Run, fleet: str, milvus_lite: MilvusServer, target_server: Server
) -> None:
    """Without counts a range cannot be shown to be complete."""
    name, target_name, ledger = "uncounted", new_name("target"), new_name("ledger")
    client = connect(milvus_lite.url)
    failed = milvus.QueryResults(status=common.Status(code=2000, error_code=1, reason="segcore error"))

    def refuse_counts(path: str, request: bytes) -> Reply | None:
        return failed.SerializeToString() if path.endswith("/Query") and b"count(*)" in request else None

    with GrpcProxy(Endpoint.parse(milvus_lite.url, "")) as proxy:
        migration = Migration(qmig, fleet, proxy.url, client, name, target_server, target_name, ledger)
        migration.create(fields={"number": {"datatype": DataType.INT64}})
        proxy.reply = refuse_counts

        done = migration.run("-c")

        assert done.returncode == 1
        assert done.stderr == f"Error: source {proxy.url}: segcore error\n"
        assert not exists(target_server, target_name)
        client.drop_collection(name)
        client.close()
