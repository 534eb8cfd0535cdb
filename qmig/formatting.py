"""Numbers, times, sizes and key ranges as people read them, and options as a shell reads them."""

import shlex
import time
from datetime import datetime

#: Characters of a migration's id that tell it from the others of a ledger.
SHOWN_ID = 8


def duration(seconds: float) -> str:
    """Format as `1:02:03`, or as `2:03` below an hour."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short_duration(seconds: float) -> str:
    """Format as `0.4 s` below a minute, as `2:03` from there on."""
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def since(seconds: float) -> str:
    """Format when something began that has lasted for some seconds: `since 14:03:22 (0.4 s)`, in this host's zone."""
    began = datetime.fromtimestamp(time.time() - seconds)
    return f"since {began:%H:%M:%S} ({short_duration(seconds)})"


def format_datetime(seconds: float) -> str:
    """Format seconds since 1970 as date and time to the minute, in this host's zone."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def megabytes(size: float) -> str:
    """Format a number of bytes as `1,234.5 MB`."""
    return f"{size / 1e6:,.1f} MB"


def percent(share: float) -> str:
    """Format a fraction of 1 as `99%`, rounded down: only the whole is 100 %."""
    return f"{int(100 * share)}%"


def pluralize(number: int, singular: str, plural: str | None = None) -> str:
    """Format as `1 chunk` or `2 chunks`; `plural` where it is not `singular` with an s."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def key_range(start: str | None, end: str | None) -> str:
    """Format a range of keys as `[1000, 2000)`; an open end is an ellipsis."""
    return f"[{'…' if start is None else start}, {'…' if end is None else end})"


def shorten(value: object, max_length: int = 80) -> str:
    """The beginning of a value's representation, for a message."""
    text = repr(value[:max_length] if isinstance(value, str) else value)
    return text if len(text) <= max_length + 2 else f"{text[:max_length]}…"


def one_line(error: Exception, max_length: int = 200) -> str:
    """The beginning of an error's text in printable characters, for an error about input of unknown origin."""
    text = "".join(char if char.isprintable() else "�" for char in " ".join(str(error).split()))
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def command_option(option: str, value: str) -> str:
    """An option with its value, to be pasted into a shell: `--skip-field 'my field'`."""
    # Otherwise the value could be taken for another option.
    joint = "=" if value.startswith("-") else " "
    return f"{option}{joint}{shlex.quote(value)}"
