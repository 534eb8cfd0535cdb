"""Rows with a field of every scalar type and of every type of array."""

from typing import Any

from pymilvus import DataType

SCALARS: dict[str, dict[str, Any]] = {
    "flag": {"datatype": DataType.BOOL},
    "tiny": {"datatype": DataType.INT8},
    "small": {"datatype": DataType.INT16},
    "medium": {"datatype": DataType.INT32},
    "large": {"datatype": DataType.INT64},
    "single": {"datatype": DataType.FLOAT},
    "double": {"datatype": DataType.DOUBLE},
    "text": {"datatype": DataType.VARCHAR, "max_length": 65535},
    "json": {"datatype": DataType.JSON},
}
ARRAYS: dict[str, dict[str, Any]] = {
    "flags": {"datatype": DataType.ARRAY, "element_type": DataType.BOOL, "max_capacity": 8},
    "numbers": {"datatype": DataType.ARRAY, "element_type": DataType.INT64, "max_capacity": 8},
    "smalls": {"datatype": DataType.ARRAY, "element_type": DataType.INT16, "max_capacity": 8},
    "singles": {"datatype": DataType.ARRAY, "element_type": DataType.FLOAT, "max_capacity": 8},
    "doubles": {"datatype": DataType.ARRAY, "element_type": DataType.DOUBLE, "max_capacity": 8},
    "texts": {
        "datatype": DataType.ARRAY,
        "element_type": DataType.VARCHAR,
        "max_capacity": 8,
        "max_length": 100,
    },
}
ROWS: list[dict[str, Any]] = [
    {
        "flag": True,
        "tiny": -128,
        "small": 32767,
        "medium": -(2**31),
        "large": 2**63 - 1,
        "single": 0.1,
        "double": 0.1,
        "text": "grüße, 世界 🦊",
        "json": {"deep": {"list": [1, None, True, "a", {"b": 2**53 + 1}], "float": 1.5}, "": "empty key"},
        "flags": [True, False],
        "numbers": [-(2**63), 2**53 + 1],
        "smalls": [-1, 300],
        "singles": [0.1, -2.5],
        "doubles": [0.1, 1e300],
        "texts": ["", "ä", 'a"b'],
    },
    {
        "flag": False,
        "tiny": 127,
        "small": -32768,
        "medium": 2**31 - 1,
        "large": -(2**63),
        # Not -3e38: Qdrant 1.18.3 gives that float back with another last digit.
        "single": -2.5,
        "double": 5e-324,
        "text": "",
        "json": {"": [], "a": {}},
        "flags": [],
        "numbers": [],
        "smalls": [],
        "singles": [],
        "doubles": [],
        "texts": [],
    },
    {
        "flag": True,
        "tiny": 0,
        "small": 0,
        "medium": 300,
        "large": -1,
        "single": 0.0,
        "double": -0.0,
        "text": "a\0b\n" + "x" * 1000,
        "json": {},
        "flags": [True] * 8,
        "numbers": [0],
        "smalls": [0],
        "singles": [0.0],
        "doubles": [-0.0],
        "texts": ["x" * 100],
    },
]
