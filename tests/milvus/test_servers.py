"""Each server starts, keeps what it is given, and leaves no process behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pymilvus import MilvusClient

from tests.support.milvus.clients import connect
from tests.support.milvus.kinds import FindSample, StartMilvus, every_sample
from tests.support.milvus.samples.clash import create_clash
from tests.support.milvus.samples.layouts import partitions
from tests.support.milvus.samples.sample import Sample, exact
from tests.support.milvus.servers import KINDS, GivenServer, MilvusServer
from tests.support.processes import has_ended
from tests.support.waiting import until

ROWS = [{"id": number, "vector": [0.5, 1.5, -2.0, number]} for number in range(3)]

STARTER = """
import sys, time
from pathlib import Path
import psutil
from tests.support.milvus import servers
server = getattr(servers, sys.argv[1])(Path(sys.argv[2]))
server.start()
print(server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True)), flush=True)
time.sleep(600)
"""

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def _family(server: MilvusServer) -> list[psutil.Process]:
    process = psutil.Process(server.pid)
    return [process, *process.children(recursive=True)]


def _until_all_end(family: list[psutil.Process]) -> None:
    until(lambda: all(has_ended(each.pid) for each in family), "the end of every process")


def _some_server(kind: type[MilvusServer], directory: Path) -> MilvusServer:
    if reason := kind.missing():
        pytest.skip(reason)
    return kind(directory)


@every_kind
def test_rows_outlive_a_restart(kind: type[MilvusServer], tmp_path: Path) -> None:
    with _some_server(kind, tmp_path) as server:
        client = connect(server.url)
        client.create_collection("kept", dimension=4)
        client.insert("kept", ROWS)
        client.close()
        server.stop()
        assert not server.running
        server.start()
        client = connect(server.url)
        client.load_collection("kept")
        rows = client.query("kept", filter="id >= 0", consistency_level="Strong")
        assert sorted(rows, key=lambda row: row["id"]) == ROWS
        client.close()


@every_kind
@pytest.mark.parametrize("end", ["stop", "kill", "SIGKILL from elsewhere"])
def test_no_process_is_left(kind: type[MilvusServer], end: str, tmp_path: Path) -> None:
    with _some_server(kind, tmp_path) as server:
        family = _family(server)
        if end == "stop":
            server.stop()
        elif end == "kill":
            server.kill()
        else:
            family[0].send_signal(signal.SIGKILL)
        _until_all_end(family)
        until(lambda: not server.running, "the end of the server")


@every_kind
def test_only_loopback_is_listened_to(kind: type[MilvusServer], tmp_path: Path) -> None:
    with _some_server(kind, tmp_path) as server:
        if server.notice:
            pytest.skip(server.notice)
        ours = {process.pid for process in _family(server)}
        sockets = [each for each in psutil.net_connections("tcp") if each.pid in ours]
        listening = [each.laddr for each in sockets if each.laddr and each.status == psutil.CONN_LISTEN]
        assert {address.port for address in listening} == {server.port}
        assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


@every_kind
def test_a_server_ends_with_the_process_that_started_it(kind: type[MilvusServer], tmp_path: Path) -> None:
    if reason := kind.missing():
        pytest.skip(reason)
    starter = subprocess.Popen([sys.executable, "-c", STARTER, kind.__name__, str(tmp_path)], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    with starter.stdout:
        family = [psutil.Process(int(number)) for number in starter.stdout.readline().split()]
    assert len(family) > 0
    starter.kill()
    starter.wait()
    _until_all_end(family)


@every_sample
def test_a_collection_comes_back_as_it_went_in(
    kind: str, sample: Sample, start_milvus: StartMilvus, milvus_sample: FindSample
) -> None:
    name = milvus_sample(kind, sample)
    client = connect(start_milvus(kind).url)
    assert exact(sample.read(client, name)) == exact(sample.expected)
    client.close()


@pytest.mark.parametrize("kind", ["lite", "standalone"])
def test_a_partition_gives_its_own_rows(kind: str, start_milvus: StartMilvus, milvus_sample: FindSample) -> None:
    sample = partitions()
    name = milvus_sample(kind, sample)
    client = connect(start_milvus(kind).url)
    for partition in ("_default", "north", "south_2"):
        expected = [row for row in sample.expected if row["partition"] == partition]
        assert exact(sample.read(client, name, partition_names=[partition])) == exact(expected)
    client.close()


def test_a_dynamic_field_may_have_a_fields_name(
    milvus_server: MilvusServer, milvus_client: MilvusClient, milvus_name: str
) -> None:
    """What the field holds then was found out for these servers, and is not known of others."""
    if milvus_server.kind == GivenServer.kind:
        pytest.skip(f"{milvus_server.url} may do as it likes")
    create_clash(milvus_client, milvus_server.url, milvus_name)
    (row,) = milvus_client.query(milvus_name, filter="id == 1", output_fields=["*"], consistency_level="Strong")
    assert row["known"] == (99 if milvus_server.kind == "lite" else 1)
    assert row["other"] == 2
