"""The demo's data: what the standard library of this Python defines, and its documentation by the paragraph."""

import ast
import re
import sysconfig
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qmig.connections import Server
from qmig.errors import Interrupted
from qmig.sources.qdrant import QdrantSource
from qmig.wire import api
from qmig.wire.payload import to_payload

DIMENSIONS = 128
BATCH = 500
PAGE = 2000
WORD = re.compile(r"[a-z]{2,}")
# Installations differ in whether they carry these.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages"}

Text = tuple[str, dict[str, Any]]


def standard_library() -> Iterator[Text]:
    """Text and payload of every definition in the standard library and of every paragraph that documents it."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if LEFT_OUT.intersection(place.parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
        except SyntaxError:
            # The library carries files of other versions of the language, for its own tools.
            continue
        yield from _texts(tree, ".".join(place.with_suffix("").parts))


def _texts(tree: ast.Module, module: str) -> Iterator[Text]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module):
            name, line, arguments = module, 1, None
        elif isinstance(node, ast.ClassDef):
            name, line, arguments = node.name, node.lineno, None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name, line, arguments = node.name, node.lineno, [argument.arg for argument in node.args.args]
        else:
            continue
        documentation = ast.get_docstring(node) or ""
        about = {
            "module": module,
            "name": name,
            "kind": type(node).__name__,
            "line": line,
            "public": not name.startswith("_"),
            "documented": len(documentation) / (len(documentation) + 100),
            "arguments": arguments,
        }
        yield f"{module} {name} {' '.join(arguments or [])}", about
        for number, paragraph in enumerate(filter(None, map(str.strip, documentation.split("\n\n")))):
            where = {"paragraph": number, "words": len(paragraph.split())}
            yield f"{name} {paragraph}", {**about, "text": paragraph, "where": where}


def embed(text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A vector of word counts, hashed into `DIMENSIONS` and scaled to length 1: similar words, similar vectors."""
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    for word in WORD.findall(text.lower()):
        hashed = zlib.crc32(word.encode())
        vector[hashed % DIMENSIONS] += 1 if hashed & 1 << 16 else -1
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector + np.float32(1)


def fill(server: Server, collection: str, interrupted: Callable[[], bool]) -> int:
    """Create the collection with two payload indexes and put the texts into it; their number."""
    params = api.VectorParams(size=DIMENSIONS, distance=api.Cosine)
    request = api.CreateCollection(collection_name=collection, vectors_config=api.VectorsConfig(params=params))
    server.call(server.collections.Create, request)
    for field, kind in (("module", api.FieldTypeKeyword), ("line", api.FieldTypeInteger)):
        index = api.CreateFieldIndexCollection(
            collection_name=collection, wait=True, field_name=field, field_type=kind
        )
        server.call(server.points.CreateFieldIndex, index)
    points: list[api.PointStruct] = []
    total = 0
    for number, (text, payload) in enumerate(standard_library()):
        # Numbers and UUIDs, because both occur.
        point_id = (
            api.PointId(num=number)
            if number % 3
            else api.PointId(uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{number} {text}")))
        )
        vectors = api.Vectors(vector=api.Vector(dense=api.DenseVector(data=embed(text).tolist())))
        points.append(api.PointStruct(id=point_id, vectors=vectors, payload=to_payload(payload)))
        total += 1
        if len(points) == BATCH:
            if interrupted():
                raise Interrupted("interrupted; nothing is left of the demo")
            _upsert(server, collection, points)
            points = []
    if points:
        _upsert(server, collection, points)
    return total


def _upsert(server: Server, collection: str, points: Sequence[api.PointStruct]) -> None:
    request = api.UpsertPoints(collection_name=collection, wait=True, points=points)
    server.call(server.points.Upsert, request)


def differing_points(source: Server, target: Server, collection: str) -> tuple[int, int]:
    """How many points were compared, payload and vectors, and how many of them differ or are missing."""
    ours, theirs = _contents(source, collection), _contents(target, collection)
    differing = sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())
    return len(ours), differing


def _contents(server: Server, collection: str) -> dict[str, bytes]:
    source = QdrantSource(server, collection)
    found: dict[str, bytes] = {}
    batch = source.start_read(None, None, None, PAGE).result()
    while True:
        for raw in batch.points:
            canonical = api.PointStruct.FromString(raw).SerializeToString(deterministic=True)
            found[source.key_of(raw)] = canonical
        if batch.next_key is None:
            return found
        batch = source.start_read(None, batch.next_key, None, PAGE).result()
