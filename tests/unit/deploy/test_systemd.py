"""deploy/systemd: units that systemd accepts, that let batches end and that contain no secret."""

import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from qmig.broker.sealing import SECRET_VARIABLE
from qmig.broker.url import BROKER_VARIABLE
from qmig.cli import qmig
from qmig.rpc.connection import CALL_TIMEOUT

DIRECTORY = Path(__file__).parents[3] / "deploy" / "systemd"
UNITS = sorted(DIRECTORY.glob("*.service"))


def service(path: Path) -> dict[str, str]:
    parser = RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(path.read_text())
    return dict(parser["Service"])


def test_a_unit_for_workers_and_one_for_flower() -> None:
    assert [path.name for path in UNITS] == ["qmig-flower.service", "qmig-worker.service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_is_taken_by_systemd(path: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze on PATH")
    # It looks for the program, too, which is not installed here.
    installed = path.read_text().replace("/opt/qmig/bin/qmig", sys.executable)
    (tmp_path / path.name).write_text(installed)
    verified = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / path.name)], check=False, capture_output=True, text=True
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_command_of_a_unit_exists(path: Path) -> None:
    program, command = service(path)["ExecStart"].split()
    assert program == "/opt/qmig/bin/qmig"
    assert qmig.get_command(None, command) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_broker_and_secret_stand_in_a_file_of_root_alone(path: Path) -> None:
    assert service(path)["EnvironmentFile"] == "/etc/qmig/qmig.env"
    assert "Environment" not in service(path)
    example = (DIRECTORY / "qmig.env.example").read_text()
    assert re.findall(r"^(\w+)=", example, re.M) == [BROKER_VARIABLE, SECRET_VARIABLE]
    assert example.count("REPLACE-ME") == 2


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_comes_back_after_a_failure_and_has_no_rights_to_lose(path: Path) -> None:
    settings = service(path)
    assert settings["Restart"] == "always"
    assert settings["DynamicUser"] == "yes"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["ProtectKernelTunables"] == "yes"


def test_batches_in_flight_may_end_before_a_worker_is_killed() -> None:
    settings = service(DIRECTORY / "qmig-worker.service")
    assert settings["KillSignal"] == "SIGTERM"
    assert settings["KillMode"] == "mixed"
    assert int(settings["TimeoutStopSec"]) > CALL_TIMEOUT


def test_workers_of_one_host_see_each_other() -> None:
    """A hidden worker would count as dead, and its chunk would be requeued."""
    assert not {"ProtectProc", "ProcSubset", "PrivatePIDs"} & set(service(DIRECTORY / "qmig-worker.service"))
