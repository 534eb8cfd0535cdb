"""Reading a key range whole, from a server that promises no order.

A query with a limit returns any rows of its range. So the keys come first, alone, a page at a time: a page is whole
when the server counts as many rows in its range as it gave, or fewer than the limit. Between two keys of a page the
rows are then asked for by a range that holds just so many, and each of those keys must be in the answer.

The steps are generators: they yield a request and are sent its answer. So one description serves a read that waits
(`run`) and one that goes on in the background (`RangeRead`).
"""

import time
from bisect import bisect_left
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from qmig.errors import QmigError, TerminalError
from qmig.qdrant.batch import Batch, InvalidRow, KeyPage
from qmig.rpc.call import Call
from qmig.sources.milvus.connection import MAX_ROWS, MilvusConnection, ResultTooLargeError
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.keys import Key
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.requests import Requests, counted

Result = TypeVar("Result")
Steps = Generator[milvus.QueryRequest, Any, Result]

# Rows of a range that is asked for whole, in parts of the limit: some are inserted meanwhile.
ROOM = 0.75
# Bytes of one answer, by the size of the rows before it, and what is assumed of the first.
ANSWER_BYTES = 16 * 1024 * 1024
FIRST_ROW_BYTES = 64 * 1024
# The part of the limit that a narrower range aims at.
FILL = 0.8


@dataclass(frozen=True)
class Page:
    """All keys of `[start, stop)`, in order. `is_last` where that is the end of the range that was asked for."""

    start: Key | None
    stop: Key | None
    is_last: bool
    keys: list[Key]
    counted: int


class RangeReader:
    """Reads ranges of one collection."""

    def __init__(self, server: MilvusConnection, requests: Requests, converter: Converter) -> None:
        self._server = server
        self._requests = requests
        self._converter = converter
        self._keys = converter.keys
        self._page_rows = MAX_ROWS
        self._row_bytes = FIRST_ROW_BYTES
        # The page that is being read, with its part and the end of its range.
        self._open: tuple[str | None, Key | None, Page] | None = None

    def start_read(self, partition: str | None, start: Key | None, end: Key | None, limit: int) -> "RangeRead[Batch]":
        """Begin to read at most `limit` rows from `start` on."""
        return RangeRead(self._server, self._read(partition, start, end, limit))

    def start_keys(self, partition: str | None, start: Key | None, end: Key | None) -> "RangeRead[KeyPage]":
        """Begin to read keys from `start` on, a page of them at most."""
        return RangeRead(self._server, self._read_keys(partition, start, end))

    def pages(self, partition: str | None, start: Key | None, end: Key | None) -> Generator[Page, None, None]:
        """All keys of a range, page by page."""
        while True:
            page = self.run(self._page(partition, start, end))
            yield page
            if page.is_last:
                return
            start = page.stop

    def some_keys(self, partition: str | None, limit: int) -> list[Key]:
        """Any keys of a part."""
        return self._converter.key_column(self._server.query(self._requests.keys(partition, None, None, limit)))

    def count(self, partition: str | None, start: Key | None, end: Key | None) -> int:
        """Rows in a range, repeats of a key counted."""
        return counted(self._server.query(self._requests.count(partition, start, end)))

    def run(self, steps: Steps[Result]) -> Result:
        """Take the steps one after another, each waited for."""
        answer: Any = None
        error: ResultTooLargeError | None = None
        while True:
            try:
                request = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            answer, error = None, None
            try:
                answer = self._server.query(request)
            except ResultTooLargeError as refused:
                error = refused

    def _page(self, partition: str | None, start: Key | None, end: Key | None) -> Steps[Page]:
        """The keys from `start` on, so many as one answer holds."""
        stop, is_last = end, True
        while True:
            limit = self._page_rows
            try:
                answer = yield self._requests.keys(partition, start, stop, limit)
            except ResultTooLargeError:
                if limit == 1:
                    raise
                self._page_rows = max(1, limit // 2)
                continue
            keys = self._checked(self._converter.key_column(answer), start, stop)
            is_full = len(keys) >= limit
            if is_full:
                # Perhaps the smallest of the range, as real servers give them: then its part up to the last is whole.
                del keys[self._cut(keys, len(keys) - 1, 1) + 1 :]
                stop = self._keys.after(keys[-1])
                is_last = stop is None
            rows = counted((yield self._requests.count(partition, start, stop)))
            if rows == len(keys) or not keys or self._is_one_key(start, stop):
                return Page(start, stop, is_last, keys, rows)
            if rows >= limit:
                stop, is_last = self._narrower(keys, start, rows, limit), False
            elif not is_full:
                return Page(start, stop, is_last, keys, rows)
            # Otherwise the part up to the last is asked for once more: it fits into one answer.

    def _narrower(self, keys: list[Key], start: Key | None, rows: int, limit: int) -> Key | None:
        """An end before which fewer rows than the limit are to be expected; `keys` are any of the range's."""
        place = int(len(keys) * FILL * limit / rows)
        if len(keys) > 1:
            return keys[max(1, place)] if place < len(keys) else keys[-1]
        return keys[0] if start is None or keys[0] > start else self._keys.after(keys[0])

    def _cut(self, keys: list[Key], place: int, least: int) -> int:
        """`place`, or the first before it, but not before `least`, whose key stands safely in a filter."""
        for safe in range(place, least - 1, -1):
            if safe >= len(keys) or self._keys.is_safe(keys[safe]):
                return safe
        return place

    def _is_one_key(self, start: Key | None, stop: Key | None) -> bool:
        return start is not None and stop == self._keys.after(start)

    def _read(self, partition: str | None, start: Key | None, end: Key | None, limit: int) -> Steps[Batch]:
        page = self._page_at(partition, start, end)
        while True:
            if page is None:
                page = yield from self._page(partition, start, end)
                self._open = (partition, end, page)
            first = 0 if start is None else bisect_left(page.keys, start)
            # At least two, so that one row is fewer.
            limit_of_server = max(2, self._page_rows)
            most = min(max(1, int(limit_of_server * ROOM)), max(1, ANSWER_BYTES // self._row_bytes))
            wanted = min(limit, most, len(page.keys) - first)
            if wanted == 0:
                if page.is_last:
                    return Batch([], None)
                start, page = page.stop, None
                continue
            last = self._cut(page.keys, first + wanted, first + 1)
            is_end = last == len(page.keys) and page.is_last
            stop = page.keys[last] if last < len(page.keys) else page.stop
            try:
                answer = yield self._requests.rows(partition, start, stop, limit_of_server)
            except ResultTooLargeError as error:
                if wanted == 1:
                    row = self._converter.invalid_row(page.keys[first], f"it cannot be read: {error}")
                    return Batch([], None if is_end or stop is None else self._keys.text(stop), (row,))
                limit = wanted // 2
                continue
            keys, points = self._converter.points(answer, partition)
            ordered = self._checked(keys, start, stop)
            announced = page.keys[first:last]
            if ordered != announced and wanted > 1 and not set(announced) <= set(ordered):
                # Deleted since, or cut off by the limit, which counts every repeat of a key.
                rows = counted((yield self._requests.count(partition, start, stop)))
                if rows >= limit_of_server:
                    limit = wanted // 2
                    continue
            if len(keys) >= limit_of_server:
                # Far more rows than there were when the page was read.
                page = None
                continue
            self._row_bytes = max(1, answer.ByteSize() // len(keys)) if keys else self._row_bytes
            if ordered != keys:
                points = [points[place] for place in sorted(range(len(keys)), key=keys.__getitem__)]
            return batch_of(points, None if is_end or stop is None else self._keys.text(stop))

    def _read_keys(self, partition: str | None, start: Key | None, end: Key | None) -> Steps[KeyPage]:
        page = self._page_at(partition, start, end)
        if page is None:
            page = yield from self._page(partition, start, end)
            self._open = (partition, end, page)
        first = 0 if start is None else bisect_left(page.keys, start)
        is_end = page.is_last or page.stop is None
        return KeyPage(
            [self._keys.text(key) for key in page.keys[first:]], None if is_end else self._keys.text(page.stop)
        )

    def _page_at(self, partition: str | None, start: Key | None, end: Key | None) -> Page | None:
        """The page that is open, if the range goes on within it."""
        if self._open is None or start is None:
            return None
        of_partition, of_end, page = self._open
        within = (page.start is None or page.start <= start) and (page.stop is None or start < page.stop)
        return page if within and (of_partition, of_end) == (partition, end) else None

    def _checked(self, keys: Sequence[Key], start: Key | None, end: Key | None) -> list[Key]:
        """The keys in order; TerminalError where one is not of the range that was asked for, or there twice."""
        found = sorted(keys)
        if found and ((start is not None and found[0] < start) or (end is not None and found[-1] >= end)):
            wrong = found[0] if start is not None and found[0] < start else found[-1]
            raise TerminalError(
                f"the source answered with the key {self._keys.text(wrong)!r}, which is not in the range that was "
                "asked for; its answers cannot be trusted"
            )
        for one, following in pairwise(found):
            if one == following:
                raise TerminalError(
                    f"the source answered with the key {self._keys.text(one)!r} twice; its answers cannot be trusted"
                )
        return found


def batch_of(points: Sequence[bytes | InvalidRow], next_key: str | None) -> Batch:
    """What a converter made of rows, points and rows that are none apart."""
    return Batch(
        [point for point in points if isinstance(point, bytes)],
        next_key,
        tuple(point for point in points if isinstance(point, InvalidRow)),
    )


class RangeRead(Generic[Result]):
    """A read under way: the step that is being waited for, until there is a result."""

    def __init__(self, server: MilvusConnection, steps: Steps[Result]) -> None:
        self._server = server
        self._steps = steps
        self._result: Result | None = None
        self._call: Call[bytes] | None = None
        self._failed: QmigError | None = None
        self._take(None, None)

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._call is not None:
            if not self._call.wait(max(0.0, deadline - time.monotonic())):
                return False
            self._go_on()
        return True

    def result(self) -> Result:
        while self._call is not None:
            self._go_on()
        if self._failed is not None:
            raise self._failed
        assert self._result is not None
        return self._result

    def _go_on(self) -> None:
        """Read the answer that is there, and take the next step."""
        assert self._call is not None
        answer: Any = None
        refused: ResultTooLargeError | None = None
        try:
            answer = self._server.results(self._call.result())
        except ResultTooLargeError as error:
            refused = error
        except QmigError as error:
            self._call, self._failed = None, error
            return
        self._take(answer, refused)

    def _take(self, answer: Any, refused: ResultTooLargeError | None) -> None:
        self._call = None
        try:
            request = self._steps.send(answer) if refused is None else self._steps.throw(refused)
        except StopIteration as stop:
            self._result = stop.value
        except QmigError as error:
            self._failed = error
        else:
            self._call = self._server.start_query(request)
