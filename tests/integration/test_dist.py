"""`make dist`: the contents of wheel and sdist, and the demo from the wheel alone."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from qmig import __version__

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
# Before the package itself.
METADATA = {"PKG-INFO", "pyproject.toml", ".gitignore", "README.md", "LICENSE", "CHANGELOG.md"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the wheel and the sdist of `make dist`."""
    directory = tmp_path_factory.mktemp("dist")
    # Build with the environment that runs this test, even if make would renew it.
    built = subprocess.run(
        ["make", "--old-file=.venv/.installed", "dist", f"DIST={directory}"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"qmig-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def in_the_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files_of(package: str) -> set[str]:
    """The files of a package in git, which must all be in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", package],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(listed.stdout.split())


def test_both_are_there_and_nothing_else(dist: Path, wheel: Path) -> None:
    assert {path.name for path in dist.iterdir()} == {wheel.name, f"qmig-{__version__}.tar.gz"}


def test_the_wheel_has_every_file_of_both_packages(in_the_wheel: set[str]) -> None:
    about = f"qmig-{__version__}.dist-info"
    names = {name for name in in_the_wheel if not name.startswith(about)}
    assert names == files_of("qmig") | files_of("workers")
    assert {
        "qmig/monitor/flower/templates/migrations.html",
        "qmig/monitor/flower/static/migrations.js",
        "qmig/monitor/flower/static/migrations.css",
        "qmig/py.typed",
        "workers/py.typed",
        "workers/tasks.py",
    } <= names
    assert f"{about}/licenses/LICENSE" in in_the_wheel


def test_the_sdist_has_what_the_wheel_is_made_of_and_no_more(dist: Path) -> None:
    with tarfile.open(dist / f"qmig-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == files_of("qmig") | files_of("workers") | METADATA


@pytest.mark.timeout(600)
def test_the_demo_runs_from_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    install = [str(UV), "pip", "install", "--quiet", "--python", str(environment)]
    exact = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*install, *exact, f"{wheel}[embedded]"], cwd=tmp_path, check=True)

    demo = subprocess.run(
        [str(environment / "bin" / "qmig"), "demo"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": f"{environment / 'bin'}{os.pathsep}{os.defpath}"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    arrived = re.search(r"all ([\d,]+) points are in the target", demo.stdout + demo.stderr)
    compared = re.search(r"Compared ([\d,]+) points, .*: source and target are equal", demo.stdout)
    assert arrived is not None, demo.stdout
    assert compared is not None, demo.stdout
    assert arrived[1] == compared[1]
    assert int(arrived[1].replace(",", "")) > 10_000
