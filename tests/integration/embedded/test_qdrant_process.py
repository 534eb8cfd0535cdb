"""The embedded Qdrant as a server: it keeps what it acknowledged, whatever ends it, and ends when it should."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from qdrant_client import grpc as api

from qmig.embedded.qdrant import EmbeddedQdrant
from tests.support.certificates import self_signed
from tests.support.collections import dense, dense_params, point, simple_points
from tests.support.connections import open_channel
from tests.support.migrations import finish
from tests.support.processes import has_ended
from tests.support.qdrant_client import Client, ids, keys, refused, shard_key, values
from tests.support.waiting import PATIENCE, until


def test_it_says_what_it_is(embedded: Client) -> None:
    reply = api.QdrantStub(embedded.channel).HealthCheck(api.HealthCheckRequest())
    assert (reply.title, reply.commit) == ("qdrant - vector search engine", "embedded")
    check = embedded.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"


def test_tls(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "files", "localhost")
    with EmbeddedQdrant(tmp_path / "data", tls=certificate) as server:
        assert server.url.startswith("https://")
        with open_channel(f"https://localhost:{server.port}", trusted=certificate[0]) as channel:
            assert api.QdrantStub(channel).HealthCheck(api.HealthCheckRequest()).title


def test_kill_in_the_middle_of_writes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    server = EmbeddedQdrant(tmp_path / "data").start()
    client = Client(server.url)
    client.create("auto", dense_params(16), metadata=values({"kept": True}))
    client.create("custom", sharding_method=api.Custom)
    for key in ("a", 7):
        client.create_shard_key("custom", shard_key(key))
    client.upsert("custom", point(1, dense([1] * 4), {"in": "a"}), shard_key_selector=keys("a"))
    client.upsert("custom", point(1, dense([2] * 4), {"in": "7"}), shard_key_selector=keys(7))
    client.points.CreateFieldIndex(
        api.CreateFieldIndexCollection(
            collection_name="auto", wait=True, field_name="number", field_type=api.FieldTypeInteger
        )
    )
    refused(lambda: client.upsert("auto", point(1, dense([1, 2]))))
    acknowledged: dict[int, api.PointStruct] = {}
    enough = threading.Event()

    def write(worker: int) -> None:
        batch = 0
        while True:
            start = (batch * 4 + worker) * 100
            points = simple_points(100, start, size=16)
            try:
                client.upsert("auto", *points)
                last = points[0]
                client.set_payload("auto", ids(last.id.num), changed=True)
            except grpc.RpcError:
                return
            last.payload["changed"].bool_value = True
            acknowledged.update({one.id.num: one for one in points})
            batch += 1
            if len(acknowledged) > 5000:
                enough.set()

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, worker) for worker in range(4)]
        assert enough.wait(PATIENCE)
        server.kill()
        for writer in writers:
            writer.result()
    port = server.port
    with server.start():
        assert server.port == port
        client = Client(server.url)
        found = client.contents("auto")
        for number, written in acknowledged.items():
            read = found[str(number)]
            assert dict(read.payload) == dict(written.payload)
            assert read.vectors.SerializeToString() == written.vectors.SerializeToString()
        info = client.info("auto")
        assert info.config.metadata["kept"].bool_value
        assert info.payload_schema["number"].points == len(found)
        for key in ("a", 7):
            (one,) = client.scroll("custom", shard_key_selector=keys(key)).result
            assert one.payload["in"].string_value == str(key)


def test_restart_brings_back_settings_indexes_and_aliases(tmp_path: Path) -> None:
    create = api.AliasOperations(create_alias=api.CreateAlias(collection_name="one", alias_name="other"))
    with EmbeddedQdrant(tmp_path / "data") as server:
        client = Client(server.url)
        client.create("one", hnsw_config=api.HnswConfigDiff(m=9))
        client.create("dropped")
        client.collections.Update(
            api.UpdateCollection(
                collection_name="one", optimizers_config=api.OptimizersConfigDiff(indexing_threshold=1)
            )
        )
        client.collections.UpdateAliases(api.ChangeAliases(actions=[create]))
        client.collections.Delete(api.DeleteCollection(collection_name="dropped"))
        before = client.info("one")
    with server.start():
        client = Client(server.url)
        assert client.info("other").config == before.config
        assert before.config.hnsw_config.m == 9
        assert [one.name for one in client.collections.List(api.ListCollectionsRequest()).collections] == ["one"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qmig", "embedded", "qdrant", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_errors_are_one_line_with_the_value_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no certificate")
    data = str(tmp_path / "other")
    with EmbeddedQdrant(tmp_path / "data") as server:
        cases = [
            (["--path", str(tmp_path / "data")], str(tmp_path / "data"), "another --path"),
            (["--path", data, "--port", str(server.port)], str(server.port), "another --port"),
            (["--path", str(file / "under")], str(file / "under"), "--path a directory"),
            (["--path", data, "--tls-cert", "/no/c", "--tls-key", "/no/k"], "/no/c", "give a PEM file"),
            (["--path", data, "--tls-cert", str(file), "--tls-key", str(file)], str(file), "PEM files"),
        ]
        for arguments, value, advice in cases:
            ended = run(*arguments)
            (line,) = ended.stderr.splitlines()
            assert (ended.returncode, ended.stdout) == (1, "")
            assert line.startswith("Error: ")
            assert value in line
            assert advice in line
    assert run("--path", data, "--tls-cert", str(file)).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    server = EmbeddedQdrant(tmp_path / "data").start()
    assert server.process is not None
    Client(server.url).create("one")
    os.kill(server.pid, number)
    finish(server.process)
    assert not server.process.read_stderr()


def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the parent-death signal is Linux's")
    script = (
        "import sys, time; from pathlib import Path; from qmig.embedded.qdrant import EmbeddedQdrant; "
        "print(EmbeddedQdrant(Path(sys.argv[1])).start().pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until(lambda: has_ended(child), "its end")
    with EmbeddedQdrant(tmp_path / "data") as server:
        assert server.url
