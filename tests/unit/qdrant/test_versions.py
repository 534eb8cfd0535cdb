"""A migration says when it goes between two versions of Qdrant."""

import pytest

from qmig.errors import TerminalError
from qmig.qdrant.versions import check_versions


@pytest.mark.parametrize(("source", "target"), [("1.18.3", "1.18.0"), ("v1.18.3", "1.18.0-dev")])
def test_patch_releases_go_together(source: str, target: str) -> None:
    assert check_versions(source, target) is None


@pytest.mark.parametrize(("source", "target"), [("1.18.3", "1.16.0"), ("1.9.0", "1.18.3")])
def test_other_minor_versions_are_warned_of(source: str, target: str) -> None:
    warning = check_versions(source, target)
    assert warning is not None
    assert source in warning
    assert target in warning
    older = "target" if target == "1.16.0" else "source"
    assert f"the {older}, the older one" in warning


@pytest.mark.parametrize(("source", "target"), [("", "1.18.3"), ("1.18.3", "nightly"), ("", "")])
def test_versions_that_cannot_be_read_are_warned_of(source: str, target: str) -> None:
    warning = check_versions(source, target)
    assert warning is not None
    assert "cannot be compared" in warning


def test_other_major_versions_are_refused() -> None:
    with pytest.raises(TerminalError, match=r"source is Qdrant 2\.0\.1, target is Qdrant 1\.18\.3"):
        check_versions("2.0.1", "1.18.3")
