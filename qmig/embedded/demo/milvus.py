"""The demo's Milvus half: the first paragraphs as rows, and what arrived compared with them."""

from collections.abc import Callable, Sequence
from typing import Any

from pymilvus import DataType, MilvusClient

from qmig.embedded.demo.texts import DIMENSIONS, Text, embed
from qmig.qdrant import messages as api
from qmig.qdrant.payload import from_payload
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server
from qmig.sources.milvus.keys import hashed

BATCH = 500
PAGE = 2000
KEY, VECTOR = "place", "words"
# Whatever else a paragraph has is a dynamic field.
FIELDS: dict[str, dict[str, Any]] = {
    "module": {"datatype": DataType.VARCHAR, "max_length": 200},
    "line": {"datatype": DataType.INT64},
    "public": {"datatype": DataType.BOOL},
    "documented": {"datatype": DataType.DOUBLE},
    "where": {"datatype": DataType.JSON},
}

Row = dict[str, Any]


def fill(url: str, collection: str, texts: Sequence[Text], check: Callable[[], None]) -> list[Row]:
    """Create the collection with two scalar indexes, put rows into it and return them.

    A row is the first paragraph that documents a definition: Milvus Lite looks at every row for every question.
    `check` is called first and before each batch, and may raise.
    """
    check()
    client = MilvusClient(url)
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field(KEY, DataType.VARCHAR, is_primary=True, max_length=200)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=DIMENSIONS)
    for name, arguments in FIELDS.items():
        schema.add_field(name, **arguments)
    indexes = client.prepare_index_params()
    # The vectors have the length 1: the inner product is their cosine, and Qdrant leaves them as they are.
    indexes.add_index(VECTOR, index_type="FLAT", metric_type="IP")
    for name in ("module", "line"):
        indexes.add_index(name, index_type="INVERTED")
    client.create_collection(collection, schema=schema, index_params=indexes)
    first = [(text, payload) for text, payload in texts if payload.get("where", {}).get("paragraph") == 0]
    rows = [_row(number, text, payload) for number, (text, payload) in enumerate(first)]
    for start in range(0, len(rows), BATCH):
        check()
        client.insert(collection, rows[start : start + BATCH])
    client.close()
    return rows


def _row(number: int, text: str, payload: dict[str, Any]) -> Row:
    dynamic = {name: value for name, value in payload.items() if name not in FIELDS}
    fields = {name: payload[name] for name in FIELDS}
    return {KEY: f"{payload['module']}/{number}", VECTOR: embed(text).tolist(), **fields, **dynamic}


def differing_rows(rows: Sequence[Row], target: Server, collection: str, check: Callable[[], None]) -> int:
    """Return how many points of the target differ from their rows, are missing, or come from no row.

    `check` is called before each page, and may raise.
    """
    expected = {hashed(row[KEY].encode()): row for row in rows}
    reader = CollectionReader(target, collection)
    differing, start = 0, None
    while True:
        check()
        batch = reader.start_read(None, start, None, PAGE).result()
        for raw in batch.points:
            point = api.PointStruct.FromString(raw)
            vector = point.vectors.vectors.vectors[VECTOR]
            found = {**from_payload(point.payload), VECTOR: list(vector.dense.data or vector.data)}
            differing += found != expected.pop(point.id.uuid, None)
        if batch.next_key is None:
            return differing + len(expected)
        start = batch.next_key
