"""Read a key range completely from a server that promises no order.

A query with a limit returns any rows of its range. So keys are read first, alone, page by page: a page is complete
if the server counts as many rows in its range as it returned, or fewer than the limit. Then the rows between two keys
of a page are read, and each key of the page must be in the answer.

The steps serve a read that waits (`run`) and one in the background (`RangeRead`).
"""

from bisect import bisect_left
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from qmig.errors import TerminalError
from qmig.qdrant.batch import Batch, KeyPage
from qmig.sources.milvus.connection import MAX_ROWS, MilvusConnection, ResultTooLargeError
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.keys import Key
from qmig.sources.milvus.range_read import RangeRead, Result, Steps
from qmig.sources.milvus.requests import Requests, counted

#: Share of the limit that a range of rows aims at: some rows are inserted meanwhile.
ROW_FILL = 0.75
#: Bytes that an answer aims at, from the size of the rows before.
ANSWER_BYTES = 16 * 1024 * 1024
#: Bytes assumed of the first row.
FIRST_ROW_BYTES = 64 * 1024
#: Share of the limit that a narrower range of keys aims at.
FILL = 0.8


@dataclass(frozen=True)
class Page:
    """All keys of `[start, stop)`, in order."""

    start: Key | None
    stop: Key | None
    #: Whether the range that was asked for ends here.
    is_last: bool
    keys: list[Key]
    #: Rows that the server counts between them.
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
        # The page that is being read, with its partition and the end of its range.
        self._open: tuple[str | None, Key | None, Page] | None = None
        # The last read in the background, and what it reads.
        self._last: tuple[tuple[Any, ...], RangeRead[Any] | None] = ((), None)

    def start_read(self, partition: str | None, start: Key | None, end: Key | None, limit: int) -> RangeRead[Batch]:
        """Begin to read at most `limit` rows from `start` on."""
        steps = partial(self._read, partition, start, end, limit)
        return self._start(("rows", partition, start, end, limit), steps)

    def start_keys(self, partition: str | None, start: Key | None, end: Key | None) -> RangeRead[KeyPage]:
        """Begin to read keys from `start` on, at most one page."""
        return self._start(("keys", partition, start, end), partial(self._read_keys, partition, start, end))

    def _start(self, what: tuple[Any, ...], steps: Callable[[], Steps[Result]]) -> RangeRead[Result]:
        """Begin a read, or go on with the last one if it was `what` and a transient error has ended it.

        A server that refuses every second query would otherwise never answer all queries of one read.
        """
        before, last = self._last
        read: RangeRead[Result] = (
            last.go_on()
            if last is not None and before == what and last.can_go_on
            else RangeRead(self._server, steps())
        )
        self._last = (what, read)
        return read

    def page(self, partition: str | None, start: Key | None, end: Key | None) -> Page:
        """Read the keys from `start` on, at most one page."""
        return self.run(self._page(partition, start, end))

    def pages(self, partition: str | None, start: Key | None, end: Key | None) -> Generator[Page, None, None]:
        """All keys of a range, page by page."""
        while True:
            page = self.page(partition, start, end)
            yield page
            if page.is_last:
                return
            start = page.stop

    def some_keys(self, partition: str | None, limit: int) -> list[Key]:
        """Read some keys of a partition, in no order."""
        return self._converter.key_column(self._server.query(self._requests.keys(partition, None, None, limit)))

    def count(self, partition: str | None, start: Key | None, end: Key | None) -> int:
        """Count the rows in a range, with repeats of a key."""
        return counted(self._server.query(self._requests.count(partition, start, end)))

    def run(self, steps: Steps[Result]) -> Result:
        """Take the steps and wait for each answer."""
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
        """Read the keys from `start` on, as many as fit into one answer."""
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
                # A real server returns the smallest keys: then the range up to the last of them is complete.
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
            # Otherwise read the range up to the last key again: it fits into one answer.

    def _narrower(self, keys: list[Key], start: Key | None, rows: int, limit: int) -> Key | None:
        """Choose an end before which fewer rows than the limit are expected; `keys` are some of the range."""
        place = int(len(keys) * FILL * limit / rows)
        if len(keys) > 1:
            return keys[max(1, place)] if place < len(keys) else keys[-1]
        return keys[0] if start is None or keys[0] > start else self._keys.after(keys[0])

    def _cut(self, keys: list[Key], place: int, least: int) -> int:
        """The last place up to `place`, but not before `least`, whose key every server parses in a filter."""
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
            # At least two, so that a range of one row has fewer rows than the limit.
            limit_of_server = max(2, self._page_rows)
            most = min(max(1, int(limit_of_server * ROW_FILL)), max(1, ANSWER_BYTES // self._row_bytes))
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
                # Rows are missing: deleted since, or cut off by the limit, which counts each repeat of a key.
                rows = counted((yield self._requests.count(partition, start, stop)))
                if rows >= limit_of_server:
                    limit = wanted // 2
                    continue
            if len(keys) >= limit_of_server:
                # Many rows were inserted since the page was read.
                page = None
                continue
            self._row_bytes = max(1, answer.ByteSize() // len(keys)) if keys else self._row_bytes
            if ordered != keys:
                points = [points[place] for place in sorted(range(len(keys)), key=keys.__getitem__)]
            return Batch.of(points, None if is_end or stop is None else self._keys.text(stop))

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
        """The open page, if the range continues in it."""
        if self._open is None or start is None:
            return None
        of_partition, of_end, page = self._open
        within = (page.start is None or page.start <= start) and (page.stop is None or start < page.stop)
        return page if within and (of_partition, of_end) == (partition, end) else None

    def _checked(self, keys: Sequence[Key], start: Key | None, end: Key | None) -> list[Key]:
        """Sort the keys; TerminalError where one lies outside the range or occurs twice."""
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
