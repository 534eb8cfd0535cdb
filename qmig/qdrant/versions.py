"""Compare the versions of source and target."""

import re

from qmig.errors import TerminalError


def check_versions(source: str, target: str) -> str | None:
    """Return a warning where minor versions differ or a version cannot be read; TerminalError for major versions."""
    ours, theirs = parse_version(source), parse_version(target)
    if ours is None or theirs is None:
        return (
            f"source is Qdrant {source or '(version unknown)'}, target is Qdrant "
            f"{target or '(version unknown)'}: the versions cannot be compared"
        )
    if ours[0] != theirs[0]:
        raise TerminalError(
            f"source is Qdrant {source}, target is Qdrant {target}: the major versions differ; upgrade the older one"
        )
    if ours != theirs:
        older = "target" if theirs < ours else "source"
        return (
            f"source is Qdrant {source}, target is Qdrant {target}: "
            f"settings that the {older}, the older one, does not know are left out"
        )
    return None


def parse_version(version: str) -> tuple[int, int] | None:
    """Parse major and minor version from `1.18.3`, `v1.18` or `1.18.0-dev`; None where there is neither."""
    match = re.match(r"v?(\d+)\.(\d+)(?![\d])", version.strip())
    return (int(match[1]), int(match[2])) if match else None
