"""The demo migrates, is killed and resumes, compares, says if no Milvus is installed, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest

from qmig.cli import demo
from qmig.embedded.demo.qdrant import differing_points, fill
from qmig.embedded.demo.texts import Text, embed, standard_library
from qmig.embedded.milvus import EmbeddedMilvus
from qmig.migration import DEFAULT_LEDGER
from qmig.qdrant import messages as api
from qmig.qdrant.payload import from_payload
from qmig.qdrant.server import Server
from tests.support.collections import contents, delete, delete_points, new_name, point
from tests.support.collections import fill as upsert
from tests.support.command import Run
from tests.support.processes import has_ended

DEMO = [sys.executable, "-m", "qmig", "demo"]
# Seconds within which an interrupted demo must end everything.
END_SECONDS = 30
# Points that a kill may repeat: those since the last write to the ledger, one second and a batch.
REPEATED_SECONDS = 2
# More than the points that a resume may copy, so that a copy from the beginning is noticed.
TEXTS = 18_000


def never() -> None:
    """No interruption."""


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return list(islice(standard_library(never), TEXTS))


@pytest.fixture
def collections(source_server: Server, target_server: Server) -> Iterator[str]:
    """The name of a collection at both ends, which is deleted after the test."""
    name = new_name("demo")
    yield name
    for server in (source_server, target_server):
        delete(server, name)


def as_json(payload: dict[str, object]) -> str:
    return json.dumps(payload, sort_keys=True)


def test_the_killed_copy_resumes_and_the_target_has_every_text(
    target_server: Server, texts: list[Text], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        demo._from_qdrant(tmp_path, target_server, texts, never)
        copied = [api.RetrievedPoint.FromString(raw) for raw in contents(target_server, demo.COLLECTION).values()]
    finally:
        for name in (demo.COLLECTION, DEFAULT_LEDGER):
            delete(target_server, name)

    expected = {as_json(payload): embed(text) for text, payload in texts}
    assert sorted(as_json(from_payload(one.payload)) for one in copied) == sorted(
        as_json(payload) for _, payload in texts
    )
    for one in copied:
        vector = np.array(one.vectors.vector.dense.data or one.vectors.vector.data)
        wanted = expected[as_json(from_payload(one.payload))]
        assert np.allclose(vector, wanted / np.linalg.norm(wanted), atol=1e-6)

    printed = capsys.readouterr().out
    killed = re.search(r"Killed with SIGKILL at ([\d,]+) of", printed)
    again = re.search(r"([\d,]+) points in [\d.]+ s in this run", printed)
    assert killed is not None
    assert again is not None
    at, copied_again = (int(found[1].replace(",", "")) for found in (killed, again))
    assert 0 < at < len(texts)
    assert len(texts) - at <= copied_again <= len(texts) - at + REPEATED_SECONDS * demo.MAX_RATE < len(texts)
    first, second = re.findall(r"^\$ qmig qdrant (.*?[^\\])$", printed, re.M | re.S)
    assert first == second
    assert f"{len(texts):,} points, payloads and vectors: source and target are equal" in printed


def test_the_comparison_finds_points_that_differ_or_are_missing(
    source_server: Server, target_server: Server, collections: str, texts: list[Text]
) -> None:
    for server in (source_server, target_server):
        fill(server, collections, texts[:1000], never)
    assert differing_points(source_server, target_server, collections, never) == 0

    delete_points(target_server, collections, 1)
    delete_points(source_server, collections, 2)
    vector = api.Vectors(vector=api.Vector(dense=api.DenseVector(data=embed(texts[4][0]).tolist())))
    upsert(target_server, collections, [point(4, vector, {"another": "payload"})])

    assert differing_points(source_server, target_server, collections, never) == 3


def test_the_demo_migrates_from_qdrant_and_from_milvus_and_shows_its_progress(qmig: Run, tmp_path: Path) -> None:
    if reason := EmbeddedMilvus.missing():
        pytest.skip(reason)
    # The demo does not use the user's fleet.
    settings = {"TMPDIR": str(tmp_path), "QMIG_BROKER_URL": "redis://127.0.0.1:1", "SOURCE_API_KEY": "the user's"}

    done = qmig("demo", env=settings, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("source and target are equal") == 2
    for kind in ("qdrant", "milvus"):
        assert f"$ qmig {kind} " in done.stdout
    for title in (demo.COLLECTION, demo.MILVUS_COLLECTION):
        shares = re.findall(rf"^{title} → {title}  (\d+)%", done.stderr, re.M)
        assert any(0 < int(share) < 100 for share in shares), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["Reading", "Killed"])
def test_ctrl_c_ends_the_demo_and_all_that_it_started(moment: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    stuck = threading.Timer(240, process.kill)
    stuck.start()
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(moment):
            break
    children = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGINT)

    printed = process.stdout.read()
    assert process.wait(END_SECONDS) == 130, printed
    stuck.cancel()
    assert printed.splitlines()[-1].startswith("interrupted; everything that was started is stopped")
    assert [child for child in children if not has_ended(child.pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_without_a_milvus_the_demo_says_what_brings_one(
    target_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    demo._from_milvus(tmp_path, target_server, [], never)
    assert f"pip install --target {tmp_path}/milvus/lite milvus-lite==" in capsys.readouterr().out
