"""Primary keys of both types."""

from __future__ import annotations

from uuid import UUID

from pymilvus import DataType

from tests.support.milvus.samples.sample import ALL, BEYOND_DOUBLE, MIN_INT64, VECTOR, Field, Sample, vector_field

INT_KEYS = (MIN_INT64, MIN_INT64 + 1, -BEYOND_DOUBLE, -2, -1, 0, 1, BEYOND_DOUBLE, 2**63 - 2)
STRING_KEYS = (
    "",
    " ",
    '"',
    '"quoted"',
    "'",
    "it's",
    "a\\b",
    "\\",
    '\\"',
    "two\nlines",
    "a\tb",
    "a\rb",
    "\x01\x7f",
    "\0",
    "%",
    "_",
    "{x}",
    "é",
    "e\u0301",
    "ﬀ",
    "漢字",
    "😀",
    "0b9c1b3e-7e0f-5a5c-8a4e-1de9e4f2c0aa",
    "0B9C1B3E-7E0F-5A5C-8A4E-1DE9E4F2C0AB",
    str(UUID(int=0)),
    "17",
    "x" * 1000,
)


def int_keys() -> Sample:
    """Inserted out of order. 2**63 - 1 is a key, too, that the standalone server counts and never returns."""
    rows = [{"id": key, "vector": VECTOR, "copy": str(key)} for key in INT_KEYS]
    copy = Field("copy", DataType.VARCHAR, None, {"max_length": 30})
    return Sample("int_keys", ALL, (vector_field(), copy), tuple(rows[::2] + rows[1::2]), tuple(rows))


def string_keys() -> Sample:
    """UUIDs in lower and upper case, and all that has ever broken a filter."""
    rows = [{"id": key, "vector": VECTOR, "number": number} for number, key in enumerate(STRING_KEYS)]
    return Sample(
        "string_keys",
        ALL,
        (vector_field(), Field("number", DataType.INT64)),
        tuple(rows),
        tuple(sorted(rows, key=lambda row: str(row["id"]).encode())),
        key=Field("id", DataType.VARCHAR, None, {"max_length": 1000}),
    )


KEYS: tuple[Sample, ...] = (int_keys(), string_keys())
