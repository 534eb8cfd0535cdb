"""deploy/grafana.json and deploy/alerts.yml: every metric in them exists in qmig."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from qmig.monitor.flower.metrics import MALFORMED, MIGRATION_METRICS, WORKERS

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "deploy" / "grafana.json"
ALERTS = ROOT / "deploy" / "alerts.yml"
METRICS = {WORKERS[0], MALFORMED[0], *(metric.name for metric in MIGRATION_METRICS)}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(ALERTS)["groups"]
    loaded: list[dict[str, Any]] = group["rules"]
    return loaded


def test_dashboard_draws_every_metric_and_no_other(dashboard: dict[str, Any]) -> None:
    drawn = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert set(re.findall(r"\bqmig_\w+", drawn)) == METRICS


def test_alerts_name_metrics_that_exist(rules: list[dict[str, Any]]) -> None:
    named = set(re.findall(r"\bqmig_\w+", " ".join(rule["expr"] for rule in rules)))
    assert named < METRICS


def test_three_alerts_that_say_what_to_do(rules: list[dict[str, Any]]) -> None:
    assert [rule["alert"] for rule in rules] == ["QmigNoProgress", "QmigChunkFailing", "QmigNoWorkers"]
    for rule in rules:
        assert rule["for"]
        assert rule["annotations"]["summary"]
        assert "`qmig " in rule["annotations"]["description"] or "command" in rule["annotations"]["description"]


def test_every_panel_has_its_own_place_and_the_dashboards_source(dashboard: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & cells, panel["title"]
        assert max(x for x, _ in covered) < 24
        cells |= covered
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize(
    "arguments", [("check", "rules", str(ALERTS)), ("test", "rules", "tests/unit/deploy/alerts.yml")]
)
def test_alerts_fire_when_they_should(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if promtool is None:
        pytest.skip("no promtool on PATH; `make test_unit` fetches it")
    checked = subprocess.run([promtool, *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
