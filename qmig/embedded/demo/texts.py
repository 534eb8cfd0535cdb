"""The demo's data: the definitions in this Python's standard library, and the paragraphs of their documentation."""

import ast
import re
import sysconfig
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DIMENSIONS = 128
WORD = re.compile(r"[a-z]{2,}")
# Installations differ in whether they carry these.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages"}

Text = tuple[str, dict[str, Any]]


def standard_library(check: Callable[[], None]) -> Iterator[Text]:
    """Text and payload of every definition in the standard library and of every paragraph that documents it.

    `check` is called before each file is read, and may raise.
    """
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if LEFT_OUT.intersection(place.parts):
            continue
        check()
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
            # Qdrant's engine gives a number of so few digits back as it was.
            "documented": round(len(documentation) / (len(documentation) + 100), 3),
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
