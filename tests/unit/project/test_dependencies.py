"""constraints.txt: each dependency of pyproject.toml once for each supported Python, with hashes, nothing local."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
# The code uses private parts of these.
BOUNDED = {"celery", "flower", "kombu", "pymilvus", "qdrant-client"}
# Their next major versions are other programs.
BOUNDED |= {"mkdocs", "mkdocs-material"}


def pythons() -> list[str]:
    """The versions of Python that the classifiers name."""
    prefix = "Programming Language :: Python :: 3."
    return [f"3.{one.removeprefix(prefix)}" for one in PROJECT["classifiers"] if one.startswith(prefix)]


def environments() -> Iterator[dict[str, str]]:
    """The values of the markers on every Python and platform that is supported."""
    for python in pythons():
        for system, machine in PLATFORMS:
            yield {
                "python_version": python,
                "python_full_version": f"{python}.9",
                "sys_platform": system,
                "platform_system": system.capitalize(),
                "platform_machine": machine,
                "platform_python_implementation": "CPython",
                "implementation_name": "cpython",
                "os_name": "posix",
                "extra": "",
            }


def declared() -> list[Requirement]:
    """The requirements in pyproject.toml with all extras, without qmig itself."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    every = [Requirement(line) for lines in lists for line in lines]
    return [one for one in every if one.name != PROJECT["name"]]


def pinned() -> list[Requirement]:
    """The packages of constraints.txt."""
    return [Requirement(line) for line in re.findall(r"^(\S+==[^\\\n]+?) *\\$", CONSTRAINTS, re.M)]


@pytest.mark.parametrize("requirement", declared(), ids=lambda one: one.name)
def test_a_dependency_has_one_version_within_its_bounds_wherever_it_is_needed(requirement: Requirement) -> None:
    for environment in environments():
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        (pin,) = (
            one
            for one in pinned()
            if canonicalize_name(one.name) == canonicalize_name(requirement.name)
            and (one.marker is None or one.marker.evaluate(environment))
        )
        (version,) = (specifier.version for specifier in pin.specifier)
        assert requirement.specifier.contains(version), "run `make constraints`"


def test_packages_whose_private_parts_are_used_have_upper_bounds() -> None:
    bounded = {one.name for one in declared() if any(part.operator == "<" for part in one.specifier)}
    assert bounded == BOUNDED


def test_every_version_has_its_hashes_and_nothing_else_stands_there() -> None:
    for line in CONSTRAINTS.splitlines():
        assert re.fullmatch(r"#.*| +# .*|\S+==[^\\]+ \\| +--hash=sha256:[0-9a-f]{64}( \\)?", line), line
    for pin in pinned():
        entry = CONSTRAINTS.partition(f"{pin.name}{pin.specifier}")[2]
        assert re.match(r"[^\n]*\\\n +--hash=", entry), pin.name


def test_no_address_and_no_path_stands_there() -> None:
    assert not re.search(r"://|\bfile:|@|--index|--find-links|\.\.?/", CONSTRAINTS)


def test_supported_pythons_begin_where_pyproject_and_the_makefile_say() -> None:
    assert pythons() == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={pythons()[0]}"
    assert f"--python-version {pythons()[0]} " in (ROOT / "Makefile").read_text()
