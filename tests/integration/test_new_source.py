"""A kind of source that an installed package adds: migrated, resumed after a kill, verified."""

import json
import os
import signal
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from qmig.embedded.child_process import ChildProcess
from qmig.ledger.records import State
from qmig.qdrant import messages as api
from qmig.qdrant.payload import from_payload
from qmig.qdrant.reader import CollectionReader
from tests.support import jsonl_source
from tests.support.collections import delete_points, fill, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import SLOWLY, chunks_of, finish, own_fleet, record_of, until_copied, worker_at_work

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "new-source.md"
ROWS = 6000


@dataclass(frozen=True)
class Rows:
    """A file of rows, and a Python path on which the package that reads such files is installed."""

    directory: Path
    python_path: Path
    ends: Ends

    @property
    def arguments(self) -> list[str]:
        return [
            "jsonl", "--source-url", f"file://{self.directory}", "--source-collection", "rows",
            "--target-url", self.ends.target.endpoint.url, "--target-collection", self.ends.target_name,
            "--migration-offsets-collection-name", self.ends.ledger,
        ]  # fmt: skip

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.python_path)}

    def migrate(self, *arguments: str, broker: str) -> ChildProcess:
        command = [sys.executable, "-m", "qmig", *self.arguments, *arguments]
        return ChildProcess(command, name="qmig jsonl", env={**self.env, "QMIG_BROKER_URL": broker})

    def arrived(self) -> dict[int, tuple[list[float], dict[str, object]]]:
        """The target's points by id: vector and payload."""
        reader = CollectionReader(self.ends.target, self.ends.target_name)
        batch = reader.start_read(None, None, None, ROWS + 1).result()
        points = map(api.PointStruct.FromString, batch.points)
        return {
            point.id.num: (
                list(point.vectors.vector.dense.data or point.vectors.vector.data),
                from_payload(point.payload),
            )
            for point in points
        }


def row(number: int) -> dict[str, object]:
    payload = {"title": f"row {number}", "number": number, "tags": ["a", None], "nested": {"half": number / 2}}
    return {"id": number * 3, "vector": [float(number), 0.5, -1.0], "payload": payload}


EXPECTED = {number * 3: (row(number)["vector"], row(number)["payload"]) for number in range(ROWS)}


@pytest.fixture
def rows(tmp_path: Path, ends: Ends) -> Rows:
    """The package as pip would install it: its module, and the entry point of the page."""
    package = tomllib.loads(PAGE.read_text().partition("```toml\n")[2].partition("```")[0])["project"]
    site = tmp_path / "site"
    metadata = site / "qmig_jsonl-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package['name']}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n{name} = {value}"
        for group, all_ in package["entry-points"].items()
        for name, value in all_.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / "qmig_jsonl.py").write_text(Path(jsonl_source.__file__).read_text())
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.jsonl").write_text("".join(f"{json.dumps(row(number))}\n" for number in reversed(range(ROWS))))
    return Rows(data, site, ends)


def test_the_command_line_has_a_command_for_it(rows: Rows, qmig: Run) -> None:
    listed, helped = qmig("--help", env=rows.env).stdout, qmig("jsonl", "--help", env=rows.env).stdout

    assert "\n  jsonl " in listed
    assert "Copy a JSON Lines collection into Qdrant" in helped
    for option in ("--source-url", "file:///path", "--skip-key KEY", "--target-url", "--dry-run"):
        assert option in helped
    assert "--source-api-key" not in helped
    assert "--source-ca-cert" not in helped


def test_a_url_of_another_form_is_refused(rows: Rows, qmig: Run) -> None:
    arguments = [argument.replace("file://", "http://host") for argument in rows.arguments]

    result = qmig(*arguments, "-c", env=rows.env)

    assert result.returncode == 2
    assert "give a URL such as file:///path" in result.stderr
    assert "Traceback" not in result.stderr


def test_killed_at_any_moment_the_same_command_resumes_and_verification_finds_differences(
    rows: Rows, qmig: Run
) -> None:
    ends = rows.ends
    with own_fleet(env=rows.env) as (redis, _):
        running = rows.migrate(*SLOWLY, broker=redis.url)
        until_copied(ends, 500)
        os.kill(running.pid, signal.SIGKILL)
        os.kill(worker_at_work(ends).pid, signal.SIGKILL)

        finish(rows.migrate(*SLOWLY, broker=redis.url))

        assert rows.arrived() == EXPECTED
        record = record_of(ends)
        assert record is not None
        assert record.state == State.DONE
        assert len(chunks_of(ends)) == 4
        equal = qmig("verify", *ends.where, "--extra", broker=redis.url, env=rows.env)
        assert equal.returncode == 0, equal.stderr
        assert f"{ROWS:,} points compared: all of them equal, and no point extra" in equal.stdout
        sampled = qmig("verify", *ends.where, "--sample", "10%", broker=redis.url, env=rows.env)
        assert sampled.returncode == 0, sampled.stderr
        assert "points compared, a sample of 10 %: all of them equal" in sampled.stdout

        delete_points(ends.target, ends.target_name, 3)
        changed = simple_points(1, start=6, size=3)
        extra = simple_points(1, start=1, size=3)
        fill(ends.target, ends.target_name, [*changed, *extra])
        url = f"file://{rows.directory}"
        unequal = qmig(
            "verify", *ends.where, "--source-url", url, "--extra", "--json", broker=redis.url, env=rows.env
        )

    assert unequal.returncode == 4, unequal.stderr
    found = json.loads(unequal.stdout)
    assert {kind: found[kind]["ids"] for kind in ("missing", "different", "extra")} == {
        "missing": ["3"],
        "different": ["6"],
        "extra": ["1"],
    }


def test_its_own_options_are_kept_in_the_ledger_and_others_refused_on_resume(rows: Rows, qmig: Run) -> None:
    with own_fleet(env=rows.env) as (redis, _):
        done = qmig(
            *rows.arguments, "-c", "--skip-key", "title", "--skip-key", "tags", broker=redis.url, env=rows.env
        )
        assert done.returncode == 0, done.stderr
        result = qmig(*rows.arguments, "-c", "--skip-key", "tags", broker=redis.url, env=rows.env)

    assert {frozenset(payload) for _, payload in rows.arrived().values()} == {frozenset({"number", "nested"})}
    assert result.returncode == 2
    assert "begun with other --skip-key" in result.stderr


def test_without_the_package_a_worker_says_what_is_missing(rows: Rows, qmig: Run, fleet: str) -> None:
    result = qmig(*rows.arguments, "-c", broker=fleet, env=rows.env)

    assert result.returncode == 1
    assert "there is no kind of source 'jsonl' on this machine, only qdrant, milvus" in result.stderr
