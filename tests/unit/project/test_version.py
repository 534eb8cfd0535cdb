"""The version is in qmig/__init__.py; files that cannot read it there repeat it, and must agree."""

import re
import tomllib
from pathlib import Path

import pytest

from qmig import __version__

ROOT = Path(__file__).parents[3]


def test_the_package_takes_its_version_from_the_code() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"]["path"] == "qmig/__init__.py"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("docker-compose.yml", r"^  image: qmig:(.+)$"),
        ("deploy/kubernetes/kustomization.yaml", r"^  - name: qmig\n    newName: qmig\n    newTag: (.+)$"),
        ("deploy/kubernetes/migration.yaml", r"^ +image: qmig:(.+)$"),
    ],
)
def test_the_image_has_the_version_of_the_code(name: str, pattern: str) -> None:
    assert re.findall(pattern, (ROOT / name).read_text(), re.M) == [__version__]
