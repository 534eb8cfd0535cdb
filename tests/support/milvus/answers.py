"""Answers of a Milvus, made without a server: every type of field, and cells that no client could insert."""

from collections.abc import Callable, Mapping, Sequence
from struct import pack
from typing import Any

from qmig.qdrant.encoding import varint
from qmig.sources.milvus.messages import RawQueryResults
from qmig.sources.milvus.schema import INTEGERS, TEXTS, TYPES, Field

#: Writes the cells of one column into a raw `ScalarField`.
Fill = Callable[[Any, Sequence[Any]], None]


def answer(
    keys: Sequence[int],
    columns: Sequence[tuple[Field, Sequence[Any]]],
    valid: Mapping[str, Sequence[bool]] | None = None,
) -> Any:
    """The raw answer to a query: Int64 keys under `pk`, and the cells of each field; `valid` tells nulls by field."""
    raw = RawQueryResults()
    integers(raw.fields_data.add(type=TYPES.Int64, field_name="pk").scalars, TYPES.Int64, keys)
    for field, cells in columns:
        column = raw.fields_data.add(type=field.type, field_name=field.name)
        column.valid_data.extend((valid or {}).get(field.name, []))
        if field.is_vector:
            _fill_vectors(column.vectors, field, cells)
        elif field.type == TYPES.Array:
            column.scalars.array_data.SetInParent()
            for cell in cells:
                fill(column.scalars.array_data.data.add(), field.element_type, cell)
        else:
            fill(column.scalars, field.type, cells)
    return raw


def fill(scalars: Any, kind: int, cells: Sequence[Any]) -> None:
    """Write cells of a scalar type: numbers, booleans, texts and documents as bytes, times as microseconds."""
    if kind in INTEGERS:
        integers(scalars, kind, cells)
    elif kind in TEXTS:
        scalars.string_data.data.extend(cells)
    elif kind == TYPES.Bool:
        scalars.bool_data.data.append(bytes(cells))
    elif kind == TYPES.Float:
        scalars.float_data.data.append(pack(f"<{len(cells)}f", *cells))
    elif kind == TYPES.Double:
        scalars.double_data.data.append(pack(f"<{len(cells)}d", *cells))
    elif kind == TYPES.JSON:
        scalars.json_data.data.extend(cells)
    elif kind == TYPES.Geometry:
        scalars.geometry_wkt_data.data.extend(cells)
    else:
        scalars.timestamptz_data.data.append(b"".join(varint(cell % 2**64) for cell in cells))


def integers(scalars: Any, kind: int, cells: Sequence[int]) -> None:
    """Write integers as they are on the wire: negative ones in ten bytes."""
    column = scalars.long_data if kind == TYPES.Int64 else scalars.int_data
    column.data.append(b"".join(varint(cell % 2**64) for cell in cells))


def _fill_vectors(vectors: Any, field: Field, cells: Sequence[bytes]) -> None:
    vectors.dim = field.dim
    names = {
        TYPES.Float16Vector: "float16_vector",
        TYPES.BFloat16Vector: "bfloat16_vector",
        TYPES.Int8Vector: "int8_vector",
        TYPES.BinaryVector: "binary_vector",
    }
    if field.type == TYPES.SparseFloatVector:
        vectors.sparse_float_vector.contents.extend(cells)
    elif field.type == TYPES.FloatVector:
        vectors.float_vector.data.append(b"".join(cells))
    else:
        setattr(vectors, names[field.type], b"".join(cells))
