"""Puts a process' clock forward by $CLOCK_OFFSET seconds: Python loads this where it is on the path."""

import datetime
import os
import sys
import time
from typing import Any

_OFFSET = float(os.environ["CLOCK_OFFSET"])
_right_datetime, _right_time, _right_time_ns = datetime.datetime, time.time, time.time_ns


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _right_datetime)


class _Datetime(_right_datetime, metaclass=_AnyDatetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _right_datetime.now(tz) + datetime.timedelta(seconds=_OFFSET)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)


def _time() -> float:
    # gRPC's core has the machine's clock all the same, and its Python half gives it deadlines.
    by_grpc = sys._getframe(1).f_globals["__name__"].startswith("grpc")
    return _right_time() + (0 if by_grpc else _OFFSET)


datetime.datetime = _Datetime  # type: ignore[misc]
time.time = _time
time.time_ns = lambda: _right_time_ns() + int(_OFFSET * 1e9)
