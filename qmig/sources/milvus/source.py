"""A Milvus collection as the source of a migration, read by ranges of its primary key."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from qmig.errors import AccessError, QmigError, TerminalError, TransientError, UsageError
from qmig.migration import SourceSpec
from qmig.qdrant.batch import Batch, Boundary, IdPage, KeyPage
from qmig.qdrant.ids import raw_id_of
from qmig.qdrant.passthrough import payload_value, raw_id
from qmig.rpc.connection import retrying
from qmig.rpc.diagnosis import explain
from qmig.sources.base import Description, Source
from qmig.sources.milvus.connection import (
    MilvusConnection,
    ResultTooLargeError,
    server_version,
)
from qmig.sources.milvus.consistency import choose_guarantee_timestamp
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.cutting import cut_numbers, cut_strings
from qmig.sources.milvus.identity import difference, identity_of, own_name
from qmig.sources.milvus.keys import Int64Keys, Key
from qmig.sources.milvus.lookups import present, rows
from qmig.sources.milvus.mapping import FieldMapping, map_collection
from qmig.sources.milvus.mapping_table import describe_mapping
from qmig.sources.milvus.partitions import check_chosen, check_loaded, named_partitions, partition_names
from qmig.sources.milvus.range_read import RangeRead
from qmig.sources.milvus.ranges import RangeReader
from qmig.sources.milvus.requests import Requests, counted
from qmig.sources.milvus.schema import describe
from qmig.sources.milvus.settings import Settings
from qmig.sources.registry import KINDS

MILVUS = KINDS["milvus"]

#: Keys from which the range of all keys is estimated.
SAMPLE = 1_000
#: Keys that are recorded of a collection without an id, to recognise it.
MAX_LANDMARKS = 32
#: Seconds after which a source asks again which partitions there are, and whether all of them are loaded.
LOOK_SECONDS = 1.0
#: Counts under way at once.
MAX_COUNTS = 8


class MilvusSource(Source):
    """Reads the collection that `source` names on `server`."""

    def __init__(self, server: MilvusConnection, source: SourceSpec) -> None:
        self.server = server
        self._source = source
        self._settings = Settings.from_dict(source.settings)
        self._counted: dict[str | None, int] = {}
        # When the partitions were last asked for.
        self._looked = -LOOK_SECONDS

    @cached_property
    def mapping(self) -> FieldMapping:
        """The mapping of the collection's fields."""
        return map_collection(describe(self.server, self._source.collection), self._settings)

    @cached_property
    def _converter(self) -> Converter:
        return Converter(self.mapping)

    @cached_property
    def _requests(self) -> Requests:
        requests = Requests(self._source.collection, self._converter.keys, self.mapping.output_fields)
        requests.guarantee_timestamp = self._settings.guarantee_timestamp or 0
        return requests

    @property
    def _reader(self) -> RangeReader:
        """The reader of ranges; its queries name the partitions that there are now."""
        self._look_now_and_then()
        return self._range_reader

    @cached_property
    def _range_reader(self) -> RangeReader:
        return RangeReader(self.server, self._requests, self._converter)

    def own_name(self) -> str | None:
        self._version()
        return own_name(self.server, self._source.collection)

    def identity(self) -> dict[str, Any]:
        found = self._ids()
        if "collection_id" not in found:
            found["keys"] = list(map(self._converter.keys.text, self._reader.some_keys(None, MAX_LANDMARKS)))
        return found

    def check_unchanged(self, recorded: Mapping[str, Any]) -> None:
        reason = difference(recorded, self._ids())
        self._look_at_partitions()
        if reason is None and (keys := [self._converter.keys.parse(key) for key in recorded.get("keys", ())]):
            found = self._reader.run(rows(self._requests, self._converter, None, keys))
            if not found.points and not found.invalid_rows:
                reason = f"the {len(keys)} rows that were looked up are gone"
        if reason is not None:
            raise TerminalError(
                f"the source collection {self._source.collection!r} is not the one that the migration began with: "
                f"{reason}; restore that one, or begin again with --restart-migration"
            )

    def _ids(self) -> dict[str, Any]:
        collection = describe(self.server, self._source.collection)
        return identity_of(self.server, collection, self._source.partitions)

    def _look_at_partitions(self) -> None:
        """Ask which partitions there are, for the queries to come; TerminalError where one is not loaded.

        One that is being loaded is waited for as long as a server that is away.
        """
        collection = self.mapping.collection
        partitions = self._source.partitions or named_partitions(
            self.server, collection.name, collection.partition_key is not None
        )
        retrying(self.server.retry_for)(check_loaded, self.server, collection.name, partitions)
        self._requests.partitions = partitions
        self._looked = time.monotonic()

    def _look_now_and_then(self) -> None:
        """Look at the partitions again if the last look was some time ago."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._look_at_partitions()

    def describe(self) -> Description:
        version = self._version()
        if self._source.partitions:
            check_chosen(self.server, self.mapping.collection, self._source.partitions)
        self._look_at_partitions()
        self._check_fields()
        info = self.mapping.info
        info.points_count = sum(self.count(partition, exact=True) for partition in self.partitions())
        return Description(MILVUS.product, version, info)

    def _check_fields(self) -> None:
        """Read one row with all its fields; TerminalError where one of them is not loaded."""
        with suppress(ResultTooLargeError):
            self.server.query(self._requests.rows(None, None, None, 1))

    def _version(self) -> str:
        """The server's version; TerminalError with the likely mistake where no Milvus answers."""
        try:
            return server_version(self.server)
        except AccessError:
            raise
        except QmigError as error:
            reason = explain(self.server.endpoint, "source", error, MILVUS.product, MILVUS.url.default_port)
            raise TerminalError(reason) from None

    def notices(self) -> list[str]:
        notices = list(self.mapping.notices)
        if not self._requests.guarantee_timestamp:
            notices.append("the source ignores guarantee timestamps; every read asks for Strong consistency instead")
        return notices

    def freeze_settings(self, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
        if recorded is None:
            guarantee_timestamp = choose_guarantee_timestamp(self.server, self._requests)
        else:
            before = Settings.from_dict(recorded)
            if replace(before, guarantee_timestamp=None) != replace(self._settings, guarantee_timestamp=None):
                raise UsageError(
                    "this migration was begun with other fields, distances or payload keys than are given now; give "
                    "the same --skip-field, --distance, --id-field and --partition-field, or begin again with "
                    "--restart-migration"
                )
            guarantee_timestamp = before.guarantee_timestamp or 0
        self._settings = replace(self._settings, guarantee_timestamp=guarantee_timestamp)
        self._requests.guarantee_timestamp = guarantee_timestamp
        return self._settings.to_dict()

    def describe_mapping(self) -> list[str]:
        partition = next(iter(self.partitions()), None)
        _, points = self._converter.points(
            self.server.query(self._requests.rows(partition, None, None, 1)), partition
        )
        return describe_mapping(self.mapping, next(iter(points), None))

    def partitions(self) -> Sequence[str | None]:
        """The chosen partitions, or all of them where their names are kept, or [None]."""
        if self._source.partitions:
            return sorted(set(self._source.partitions))
        if self._settings.partition_field is not None:
            return partition_names(self.server, self._source.collection)
        return [None]

    def count(self, partition: str | None, exact: bool) -> int:
        # Not the server's statistics, which count deleted rows and miss growing ones.
        if exact or partition not in self._counted:
            self._counted[partition] = self._reader.count(partition, None, None)
        return self._counted[partition]

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        if pieces < 2:
            return
        keys = self._converter.keys
        total = self.count(partition, exact=False)
        if isinstance(keys, Int64Keys):
            sample = self._reader.some_keys(partition, SAMPLE)
            cuts: Iterable[tuple[Key, int]] = cut_numbers(
                sample, total, pieces, lambda ranges: self._counts(partition, ranges)
            )
        else:
            cuts = cut_strings(self._reader, keys, partition, -(-total // pieces), self._key(start))
        for key, points in cuts:
            if start is None or key > keys.parse(start):
                yield Boundary(keys.text(key), points)

    def start_read(self, partition: str | None, start: str | None, end: str | None, limit: int) -> RangeRead[Batch]:
        return self._reader.start_read(partition, self._key(start), self._key(end), limit)

    def start_keys(self, partition: str | None, start: str | None, end: str | None, limit: int) -> RangeRead[KeyPage]:  # noqa: ARG002
        return self._reader.start_keys(partition, self._key(start), self._key(end))

    def start_points(self, partition: str | None, keys: Sequence[str]) -> RangeRead[Batch]:
        self._look_now_and_then()
        parsed = [self._converter.keys.parse(key) for key in keys]
        return RangeRead(self.server, rows(self._requests, self._converter, partition, parsed))

    @property
    def key_field(self) -> str:
        return self.mapping.id_field

    def start_present(self, partition: str | None, points: Sequence[bytes]) -> RangeRead[set[bytes]]:  # noqa: ARG002
        ids: dict[Key, bytes] = {}
        for point in points:
            # Another program's point may hold a key there whose row has another point id.
            if (text := self._key_in(point)) is not None:
                key = self._converter.keys.parse(text)
                made = raw_id_of(self._converter.keys.ids([key])[0])
                if made == raw_id(point):
                    ids[key] = made
        self._look_now_and_then()
        partitions = self._source.partitions or (None,)
        return RangeRead(self.server, present(self._requests, self._converter, partitions, ids))

    def key_of(self, point: bytes) -> str:
        key = self._key_in(point)
        assert key is not None
        return key

    def _key_in(self, point: bytes) -> str | None:
        """The text of the key in a point's payload; None where there is none of the collection's type."""
        value = payload_value(point, self.mapping.id_field)
        kind = "integer_value" if isinstance(self._converter.keys, Int64Keys) else "string_value"
        return str(getattr(value, kind)) if value is not None and value.WhichOneof("kind") == kind else None

    def read_ids(
        self,
        partition: str | None,
        start: str | None,
        end: str | None,
        limit: int,  # noqa: ARG002
        others: Sequence[str | None] = (),
    ) -> IdPage:
        page = self._reader.page(partition, self._key(start), self._key(end))
        ids = [raw_id_of(text) for text in self._converter.keys.ids(page.keys)]
        next_key = None if page.is_last or page.stop is None else self._converter.keys.text(page.stop)
        unreadable = max(0, page.counted - len(page.keys))
        repeated: set[bytes] = set()
        if others:
            by_key = dict(zip(page.keys, ids, strict=True))
            repeated = self._reader.run(present(self._requests, self._converter, others, by_key))
        return IdPage(ids, next_key, unreadable, frozenset(repeated))

    def close(self) -> None:
        self.server.close()

    def _key(self, text: str | None) -> Key | None:
        return None if text is None else self._converter.keys.parse(text)

    def _counts(self, partition: str | None, ranges: Sequence[tuple[Key | None, Key | None]]) -> list[int]:
        """Count the rows in each range, several ranges at once."""
        found: list[int] = []
        for first in range(0, len(ranges), MAX_COUNTS):
            portion = [
                self._requests.count(partition, start, end) for start, end in ranges[first : first + MAX_COUNTS]
            ]
            calls = [self.server.start_query(request) for request in portion]
            for request, call in zip(portion, calls, strict=True):
                try:
                    found.append(counted(self.server.results(call.result())))
                except TransientError:
                    found.append(counted(self.server.query(request)))
        return found
