"""Describe a mapping for `--dry-run`: how each field is mapped, and one converted row."""

import json
from collections.abc import Sequence

from qmig.qdrant import messages as api
from qmig.qdrant.batch import InvalidRow
from qmig.qdrant.payload import from_payload
from qmig.sources.milvus.mapping import FieldMapping

MAX_NUMBERS = 4
MAX_CHARACTERS = 200


def describe_mapping(mapping: FieldMapping, point: bytes | InvalidRow | None) -> list[str]:
    """The lines that show `mapping` as a table and `point`, a serialized `PointStruct` or a reject, in words."""
    rows = [("field", "in Milvus", "in Qdrant"), *mapping.table]
    if mapping.partition_field is not None:
        rows.append(("", "partition", f"payload {mapping.partition_field!r}"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = ["fields"]
    lines += [f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {becomes}" for name, kind, becomes in rows]
    lines.append("one row, converted")
    if point is None:
        return [*lines, "  there is none"]
    if isinstance(point, InvalidRow):
        return [*lines, f"  it cannot be copied: {point.reason}"]
    message = api.PointStruct.FromString(point)
    payload = json.dumps(from_payload(message.payload), ensure_ascii=False)
    lines.append(f"  id       {message.id.uuid or message.id.num}")
    lines.append(f"  payload  {payload[:MAX_CHARACTERS]}{'…' * (len(payload) > MAX_CHARACTERS)}")
    lines += [f"  vector   {name}: {_described(vector)}" for name, vector in message.vectors.vectors.vectors.items()]
    return lines


def _described(vector: api.Vector) -> str:
    if vector.HasField("sparse"):
        pairs = [f"{at}: {value:g}" for at, value in zip(vector.sparse.indices, vector.sparse.values, strict=True)]
        return f"{{{', '.join(pairs[:MAX_NUMBERS])}{', …' * (len(pairs) > MAX_NUMBERS)}}}, {len(pairs)} values"
    if vector.HasField("multi_dense"):
        first = _numbers(vector.multi_dense.vectors[0].data)
        return f"[{first}, …], {len(vector.multi_dense.vectors)} vectors"
    return f"{_numbers(vector.dense.data)}, {len(vector.dense.data)} dimensions"


def _numbers(data: Sequence[float]) -> str:
    more = ", …" if len(data) > MAX_NUMBERS else ""
    return f"[{', '.join(f'{value:g}' for value in data[:MAX_NUMBERS])}{more}]"
