"""A Milvus collection as the source of a migration, read by ranges of its primary key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from qmig.errors import AccessError, QmigError, TerminalError, TransientError, UsageError
from qmig.migration import SourceSpec
from qmig.qdrant.batch import Batch, Boundary, IdPage, KeyPage
from qmig.qdrant.ids import raw_id_of
from qmig.qdrant.passthrough import payload_value, raw_id
from qmig.rpc.diagnosis import explain
from qmig.sources.base import Description, Source
from qmig.sources.milvus.connection import MilvusConnection, UnsupportedCallError, server_version
from qmig.sources.milvus.consistency import choose_guarantee_timestamp
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.cutting import cut_numbers, cut_strings
from qmig.sources.milvus.keys import Int64Keys, Key
from qmig.sources.milvus.lookups import present, rows
from qmig.sources.milvus.mapping import FieldMapping, map_collection
from qmig.sources.milvus.mapping_table import describe_mapping
from qmig.sources.milvus.ranges import RangeRead, RangeReader
from qmig.sources.milvus.requests import Requests, counted
from qmig.sources.milvus.schema import check_loaded, describe, partition_names
from qmig.sources.milvus.settings import Settings
from qmig.sources.registry import KINDS

MILVUS = KINDS["milvus"]

#: Keys from which the range of all keys is estimated.
SAMPLE = 1_000
#: Counts under way at once.
MAX_COUNTS = 8


class MilvusSource(Source):
    """Reads the collection that `source` names on `server`."""

    def __init__(self, server: MilvusConnection, source: SourceSpec) -> None:
        self.server = server
        self._source = source
        self._settings = Settings.from_dict(source.settings)
        self._counted: dict[str | None, int] = {}

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

    @cached_property
    def _reader(self) -> RangeReader:
        return RangeReader(self.server, self._requests, self._converter)

    def describe(self) -> Description:
        version = self._version()
        collection = self.mapping.collection
        if self._source.partitions:
            self._check_partitions()
        check_loaded(self.server, collection.name, self._source.partitions)
        info = self.mapping.info
        info.points_count = sum(self.count(partition, exact=True) for partition in self.partitions())
        return Description(MILVUS.product, version, info)

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
        return describe_mapping(self.mapping, next((point for point in points if isinstance(point, bytes)), None))

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

    def _check_partitions(self) -> None:
        collection = self.mapping.collection
        if key := collection.partition_key:
            raise UsageError(
                f"--source-partition: {collection.name!r} spreads its rows over partitions by the partition key "
                f"{key.name!r}, and Milvus reads only all of them; leave the option out"
            )
        try:
            there = partition_names(self.server, collection.name)
        except UnsupportedCallError:
            raise UsageError("--source-partition: this server has no partitions; leave the option out") from None
        for name in self._source.partitions:
            if name not in there:
                raise UsageError(
                    f"--source-partition {name}: {collection.name!r} has no such partition; it has {', '.join(there)}"
                )
