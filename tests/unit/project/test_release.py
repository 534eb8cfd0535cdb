"""tools/release.py: which branches may be released, and the notes of a release."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from qmig import __version__
from tools import release
from tools.release import NotReleasable, check_branch, last_release, notes_of

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- a new thing

## [0.2.0] - 2026-12-01

### Fixed

- a fault

## [0.1.0] - 2026-11-01

The first release.

[Unreleased]: https://example.invalid/compare
[0.2.0]: https://example.invalid/0.2.0
"""
Git = Callable[..., None]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Call git in a repository whose main has one commit; `origin/main` is the pushed state of main."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "init.defaultBranch=main"]

    def run(*arguments: str) -> None:
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    run("init")
    commit(run)
    push_main(run)
    return run


def commit(git: Git) -> None:
    git("commit", "--allow-empty", "--message", "a change")


def push_main(git: Git) -> None:
    git("update-ref", "refs/remotes/origin/main", "main")


def test_the_first_release_comes_from_main(git: Git, tmp_path: Path) -> None:
    git("checkout", "-b", "release/v0.1.0")
    check_branch("release/v0.1.0", "0.1.0", CHANGELOG, tmp_path)


def test_a_release_of_what_main_has_left_behind_is_from_main_too(git: Git, tmp_path: Path) -> None:
    git("branch", "release/v0.1.0")
    commit(git)
    push_main(git)
    git("checkout", "release/v0.1.0")
    check_branch("release/v0.1.0", "0.1.0", CHANGELOG, tmp_path)


def test_a_change_that_is_not_on_main_is_not_released(git: Git, tmp_path: Path) -> None:
    git("checkout", "-b", "release/v0.1.0")
    commit(git)
    with pytest.raises(NotReleasable, match="comes neither from main nor from the last release"):
        check_branch("release/v0.1.0", "0.1.0", CHANGELOG, tmp_path)


def test_a_fix_release_starts_from_the_last_release(git: Git, tmp_path: Path) -> None:
    git("checkout", "-b", "release/v0.1.0")
    git("tag", "v0.1.0")
    git("checkout", "main")
    commit(git)
    push_main(git)
    git("checkout", "-b", "release/v0.2.0", "release/v0.1.0")
    commit(git)
    check_branch("release/v0.2.0", "0.2.0", CHANGELOG, tmp_path)


@pytest.mark.parametrize("released", ["0.2.0", "0.10.0"])
def test_a_version_is_released_once_and_in_order(git: Git, tmp_path: Path, released: str) -> None:
    git("tag", "v0.1.0")
    git("tag", f"v{released}")
    git("tag", "v9-draft")
    assert last_release(tmp_path) == released
    with pytest.raises(NotReleasable, match=f"v{released} is released; 0.2.0 must be a later version"):
        check_branch("release/v0.2.0", "0.2.0", CHANGELOG, tmp_path)


@pytest.mark.usefixtures("git")
@pytest.mark.parametrize(
    ("branch", "version", "why"),
    [
        ("main", "0.2.0", "called release/vX.Y.Z, not 'main'"),
        ("release/v0.2", "0.2.0", "called release/vX.Y.Z, not 'release/v0.2'"),
        ("release/v0.2.0rc1", "0.2.0", "not 'release/v0.2.0rc1'"),
        ("release/v0.3.0", "0.2.0", "release/v0.3.0 has version 0.2.0 in qmig/__init__.py"),
        ("release/v0.3.0", "0.3.0", r"nothing under '## \[0.3.0\] - YYYY-MM-DD'"),
    ],
)
def test_a_branch_has_its_version_and_its_part_of_the_changelog(
    tmp_path: Path, branch: str, version: str, why: str
) -> None:
    with pytest.raises(NotReleasable, match=why):
        check_branch(branch, version, CHANGELOG, tmp_path)


def test_the_notes_are_that_versions_part() -> None:
    assert notes_of("0.2.0", CHANGELOG) == "### Fixed\n\n- a fault\n"
    assert notes_of("0.1.0", CHANGELOG) == "The first release.\n"


def test_a_version_without_a_date_or_without_notes_is_not_releasable() -> None:
    for changelog in ("## [0.2.0]\n\n- a fault\n", "## [0.2.0] - 2026-12-01\n\n## [0.1.0] - 2026-11-01\n\n- one\n"):
        with pytest.raises(NotReleasable):
            notes_of("0.2.0", changelog)


def test_a_release_is_checked_and_its_version_handed_to_the_workflow(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("checkout", "-b", f"release/v{__version__}")
    (tmp_path / "CHANGELOG.md").write_text(f"## [{__version__}] - 2026-12-01\n\n- all of it\n")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))

    checked = CliRunner().invoke(release.main, ["check", f"release/v{__version__}"])
    refused = CliRunner().invoke(release.main, ["check", "release/v99.0.0"])
    notes = CliRunner().invoke(release.main, ["notes"])

    assert (checked.exit_code, checked.output) == (0, f"version={__version__}\n")
    assert (tmp_path / "output").read_text() == f"version={__version__}\n"
    assert refused.exit_code == 1
    assert "Error: release/v99.0.0 has version" in refused.output
    assert notes.output == "- all of it\n"


def test_the_changelog_has_a_place_for_what_is_not_released_yet() -> None:
    headings = re.findall(r"^## (.*)$", release.changelog_text(), re.M)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
