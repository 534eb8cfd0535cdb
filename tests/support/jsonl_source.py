"""A JSON Lines file as the source of a migration: one object a line, with `id`, `vector` and `payload`."""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from qmig.errors import TerminalError, TransientError, UsageError
from qmig.migration import Credentials, Migration, SourceSpec, UrlForm
from qmig.qdrant import messages as api
from qmig.qdrant.batch import Batch, Boundary, IdPage, KeyPage
from qmig.qdrant.ids import raw_id_of
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import point_id, raw_id
from qmig.qdrant.payload import to_payload
from qmig.rpc.call import Call
from qmig.sources.base import Description, Source
from qmig.sources.kind import SourceKind, source_option

KIND = SourceKind(
    name="jsonl",
    product="JSON Lines",
    module=__name__,
    partition_word="file",
    url=UrlForm(default_port=None, schemes={"file": False}, has_path=True),
    help="Each line is an object with id, vector and payload.",
)

OPTIONS = (
    source_option(
        "skip_keys",
        "--skip-key",
        multiple=True,
        metavar="KEY",
        help="Payload key to leave out. May be given more than once.",
    ),
)


def with_options(source: SourceSpec, given: Mapping[str, Any]) -> SourceSpec:
    return replace(source, settings={"skip_keys": sorted(set(given["skip_keys"]))})


def open_source(migration: Migration, credentials: Credentials, retry_for: float) -> Source:  # noqa: ARG001
    return JsonLines(migration.source)


class JsonLines(Source):
    """Reads one file, which every worker finds at the same path."""

    def __init__(self, source: SourceSpec) -> None:
        self._path = Path(source.endpoint.path, f"{source.collection}.jsonl")
        self._settings = source.settings
        self._pool = ThreadPoolExecutor(2)

    def describe(self) -> Description:
        if not self._path.is_file():
            raise TerminalError(f"source {self._path}: no such file; check --source-url and --source-collection")
        info = api.CollectionInfo(points_count=len(self._rows))
        vectors = info.config.params.vectors_config.params
        vectors.size = len(next(iter(self._rows.values()))["vector"])
        vectors.distance = api.Distance.Dot
        return Description(KIND.product, "", info)

    def freeze_settings(self, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
        if recorded is not None and recorded != self._settings:
            raise UsageError("this migration was begun with other --skip-key; give the same")
        return self._settings

    @cached_property
    def _rows(self) -> dict[int, dict[str, Any]]:
        rows = map(json.loads, self._path.read_text().splitlines())
        return {row["id"]: row for row in sorted(rows, key=lambda row: row["id"])}

    def count(self, partition: str | None, exact: bool) -> int:  # noqa: ARG002
        return len(self._rows)

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:  # noqa: ARG002
        keys, first = list(self._rows), 0
        for piece in range(1, pieces):
            last = len(keys) * piece // pieces
            if start is None or keys[last] > int(start):
                yield Boundary(str(keys[last]), last - first)
            first = last

    def _keys(self, start: str | None, end: str | None) -> list[int]:
        """The keys of `[start, end)` in their order."""
        keys = list(self._rows)
        first = 0 if start is None else bisect_left(keys, int(start))
        return keys[first : None if end is None else bisect_left(keys, int(end))]

    def start_read(self, partition: str | None, start: str | None, end: str | None, limit: int) -> Call[Batch]:  # noqa: ARG002
        def read() -> Batch:
            page = self._page(start, end, limit)
            return Batch([self._point(key) for key in page.keys], page.next_key)

        return self._start(read)

    def start_keys(self, partition: str | None, start: str | None, end: str | None, limit: int) -> Call[KeyPage]:  # noqa: ARG002
        return self._start(self._page, start, end, limit)

    def start_points(self, partition: str | None, keys: Sequence[str]) -> Call[Batch]:  # noqa: ARG002
        return self._start(lambda: Batch([self._point(key) for key in keys if int(key) in self._rows], None))

    def _page(self, start: str | None, end: str | None, limit: int) -> KeyPage:
        keys = self._keys(start, end)
        next_key = str(keys[limit]) if len(keys) > limit else None
        return KeyPage([str(key) for key in keys[:limit]], next_key)

    def _point(self, key: str) -> bytes:
        """The row with this key as a serialized `PointStruct`."""
        row = self._rows[int(key)]
        payload = {name: value for name, value in row["payload"].items() if name not in self._settings["skip_keys"]}
        vectors = api.Vectors(vector=api.Vector(dense=api.DenseVector(data=row["vector"])))
        point = api.PointStruct(id=api.PointId(num=row["id"]), vectors=vectors, payload=to_payload(payload))
        return point.SerializeToString()

    def _start(self, read: Any, *arguments: Any) -> Call[Any]:
        return Call(self._pool.submit(read, *arguments), translate)

    def key_of(self, point: bytes) -> str:
        return PointKey.of(point_id(point)).text

    def start_present(self, partition: str | None, points: Sequence[bytes]) -> Call[set[bytes]]:  # noqa: ARG002
        return self._start(lambda: {raw_id(point) for point in points if int(self.key_of(point)) in self._rows})

    def read_ids(
        self,
        partition: str | None,  # noqa: ARG002
        start: str | None,
        end: str | None,
        limit: int,  # noqa: ARG002
        others: Sequence[str | None] = (),  # noqa: ARG002
    ) -> IdPage:
        return IdPage([raw_id_of(str(key)) for key in self._keys(start, end)], None)

    def close(self) -> None:
        self._pool.shutdown()


def translate(error: Exception) -> Exception:
    """A file that cannot be read may be back in a moment; anything else is a defect."""
    return TransientError(f"source: {error}", reason="source unreadable") if isinstance(error, OSError) else error
