"""Formatting of numbers, times and sizes for people."""

from datetime import datetime

#: Characters of a migration's id that are shown: enough to tell it from the others of a ledger.
SHOWN_ID = 8


def duration(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_datetime(seconds: float) -> str:
    """Seconds since 1970 as date and time to the minute, in this host's zone."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def key_range(start: str | None, end: str | None) -> str:
    """A range of keys, without its end: `[a, b)`; an open end is an ellipsis."""
    return f"[{'…' if start is None else start}, {'…' if end is None else end})"


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def percent(share: float) -> str:
    """A part of 1, rounded down: all of it is 100 % and nothing else is."""
    return f"{int(100 * share)}%"


def short_duration(seconds: float) -> str:
    """`0.4 s` below a minute, `2:03` from there on."""
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def pluralize(number: int, one: str, several: str | None = None) -> str:
    """`1 chunk`, `2 chunks`; `several` where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def shorten(value: object, most: int = 80) -> str:
    """The beginning of a value for a message."""
    text = repr(value[:most] if isinstance(value, str) else value)
    return text if len(text) <= most + 2 else f"{text[:most]}…"
