"""The demo migrates from each kind of source, and says so where there is no Milvus."""

import threading
from pathlib import Path

import pytest

from qmig.cli import demo
from qmig.embedded.milvus import EmbeddedMilvus
from qmig.qdrant.server import Server
from tests.support.command import Run


def test_the_demo_migrates_from_qdrant_and_from_milvus(qmig: Run) -> None:
    if reason := EmbeddedMilvus.missing():
        pytest.skip(reason)
    done = qmig("demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("source and target are equal") == 2
    assert "$ qmig milvus " in done.stdout


def test_without_a_milvus_the_demo_says_what_brings_one(
    target_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    demo._from_milvus(tmp_path / "milvus", target_server, threading.Event().is_set)
    assert f"pip install --target {tmp_path}/milvus/lite milvus-lite==" in capsys.readouterr().out
