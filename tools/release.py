"""A release: whether a branch may be released, and that version's part of the changelog.

`python -m tools.release check release/v1.2.3`, `python -m tools.release notes`
"""

import os
import re
import subprocess
from pathlib import Path

import click

from qmig import __version__

ROOT = Path(__file__).parents[1]
MAIN = "origin/main"
BRANCH = re.compile(r"release/v(\d+\.\d+\.\d+)")


class NotReleasable(click.ClickException):
    """Why a branch cannot be released."""


def check_branch(branch: str, version: str, changelog: str, repository: Path) -> None:
    """Raise NotReleasable unless `branch`, checked out in `repository`, may be released as `version`.

    A release comes from main, or from the last release.
    """
    named = BRANCH.fullmatch(branch)
    if named is None:
        raise NotReleasable(f"a release branch is called release/vX.Y.Z, not {branch!r}")
    if named[1] != version:
        raise NotReleasable(f"{branch} has version {version} in qmig/__init__.py")
    notes_of(version, changelog)
    last = last_release(repository)
    if last is not None and parse(version) <= parse(last):
        raise NotReleasable(f"v{last} is released; {version} must be a later version")
    from_last_release = last is not None and _is_part_of(f"v{last}", "HEAD", repository)
    if not from_last_release and not _is_part_of("HEAD", MAIN, repository):
        raise NotReleasable(f"{branch} comes neither from main nor from the last release")


def notes_of(version: str, changelog: str) -> str:
    """The changelog's part on `version`, without its heading; raise NotReleasable where there is none."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    found = re.search(heading + r"(.*?)(?=^## |^\[[^\]]+\]: |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise NotReleasable(f"CHANGELOG.md has nothing under '## [{version}] - YYYY-MM-DD'")
    return found[1].strip() + "\n"


def last_release(repository: Path) -> str | None:
    """The highest version among the tags; None before the first release."""
    tags = _git(repository, "tag", "--list", "v*").stdout.split()
    versions = [tag[1:] for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    return max(versions, key=parse, default=None)


def parse(version: str) -> tuple[int, ...]:
    """The numbers of X.Y.Z, which compare as versions do."""
    return tuple(map(int, version.split(".")))


def _is_part_of(older: str, newer: str, repository: Path) -> bool:
    """Whether the history of `newer` has the commit `older`."""
    return _git(repository, "merge-base", "--is-ancestor", older, newer).returncode == 0


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(repository), *arguments], check=False, capture_output=True, text=True)


@click.group()
def main() -> None:
    """Check a release and print its notes."""


@main.command()
@click.argument("branch")
def check(branch: str) -> None:
    """Fail unless BRANCH may be released; give its version to the steps of a workflow."""
    check_branch(branch, __version__, changelog_text(), ROOT)
    click.echo(f"version={__version__}")
    if output := os.environ.get("GITHUB_OUTPUT"):
        with Path(output).open("a") as steps:
            steps.write(f"version={__version__}\n")


@main.command()
def notes() -> None:
    """Print the changelog's part on this version."""
    click.echo(notes_of(__version__, changelog_text()), nl=False)


def changelog_text() -> str:
    """The whole changelog."""
    return (ROOT / "CHANGELOG.md").read_text()


if __name__ == "__main__":
    main()
