"""Malformed JSON: valid JSON with a fault in one place."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

#: Any JSON, and what Redis or a payload may hold beside it: numbers beyond 64 bits, NaN, lone surrogates.
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
Path = tuple[str | int, ...]


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of each field in the value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from paths(inner, (*path, name))


def changed(value: Any, path: Path, new: Any) -> Any:
    """The value with another one at the path."""
    if not path:
        return new
    return {**value, path[0]: changed(value.get(path[0]), path[1:], new)}


def without(value: Any, path: Path) -> Any:
    """The value without the field at the path."""
    name, *rest = path
    if rest:
        return {**value, name: without(value[name], tuple(rest))}
    return {other: inner for other, inner in value.items() if other != name}
