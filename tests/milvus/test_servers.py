"""Each server starts, keeps what it is given, and leaves no process behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pymilvus import MilvusClient

from tests.milvus.servers import KINDS, MilvusServer

ROWS = [{"id": number, "vector": [0.5, 1.5, -2.0, number]} for number in range(3)]

STARTER = """
import sys, time
from pathlib import Path
import psutil
from tests.milvus import servers
server = getattr(servers, sys.argv[1])(Path(sys.argv[2]))
server.start()
print(server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True)), flush=True)
time.sleep(600)
"""

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def _family(server: MilvusServer) -> list[psutil.Process]:
    process = psutil.Process(server.pid)
    return [process, *process.children(recursive=True)]


def _alive(family: list[psutil.Process]) -> list[psutil.Process]:
    """What has not ended within 10 s; an orphan that nobody has waited for yet has ended."""
    for _ in range(100):
        alive = [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        if not alive:
            break
        time.sleep(0.1)
    return alive


def _some_server(kind: type[MilvusServer], directory: Path) -> MilvusServer:
    if reason := kind.missing():
        pytest.skip(reason)
    return kind(directory)


@every_kind
def test_rows_outlive_a_restart(kind: type[MilvusServer], tmp_path: Path) -> None:
    with _some_server(kind, tmp_path) as server:
        client = MilvusClient(server.url)
        client.create_collection("kept", dimension=4)
        client.insert("kept", ROWS)
        client.close()
        server.stop()
        assert not server.running
        server.start()
        client = MilvusClient(server.url)
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
        assert _alive(family) == []
        assert not server.running


@every_kind
def test_only_loopback_is_listened_to(kind: type[MilvusServer], tmp_path: Path) -> None:
    with _some_server(kind, tmp_path) as server:
        if server.notice:
            pytest.skip(server.notice)
        ours = {process.pid for process in _family(server)}
        listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        addresses = {each.laddr.ip for each in listening if each.pid in ours}
        assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}
        assert server.port in {each.laddr.port for each in listening if each.pid in ours}


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
    assert _alive(family) == []
