"""Names of element types and how many bytes they take: numpy's, and ml_dtypes' for those that numpy lacks."""

from __future__ import annotations

import math
import re

import ml_dtypes
import numpy as np

STRING = "string"
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_NUMPY = frozenset(("bool", *_INTEGERS, "float16", "float32", "float64", "complex64", "complex128"))
_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
_ML_DTYPES = frozenset(("bfloat16", *_FLOAT8))
# Packed several to a byte in ONNX external data; numpy cannot view them, onnxruntime can.
PACKED_DTYPES = {"float4_e2m1fn": 4, "int2": 2, "int4": 4, "uint2": 2, "uint4": 4}
# What is no tensor, around the element types in it: "seq(float32)", "optional(seq(int64))", "seq(map(int64,float32))".
_CONTAINER = re.compile(r"((?:optional\(|seq\(){0,4}(?:map\((\w+),)?)(\w+)(\){1,5})")
DTYPES = _NUMPY | _ML_DTYPES | frozenset(PACKED_DTYPES)


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """The numpy type (little-endian) of an element type that is not packed.

    Raises:
        ValueError: if the name is unknown, packed, or "string".
    """
    if name in _NUMPY:
        return np.dtype(name).newbyteorder("<")
    if name in _ML_DTYPES:
        scalar: type[np.generic] = getattr(ml_dtypes, name)
        return np.dtype(scalar)
    raise ValueError(f"dtype: expected one of {sorted(_NUMPY | _ML_DTYPES)}, got {name!r}")


def is_container(name: str) -> bool:
    """Whether a type is a sequence, map or optional of known types, which no exchange moves and no shard stores."""
    match = _CONTAINER.fullmatch(name)
    return (
        match is not None
        and match[1].count("(") == len(match[4])
        and {match[2] or STRING, match[3]} <= {STRING, *DTYPES}
    )


def dtype_name(dtype: np.dtype[np.generic]) -> str:
    """The name of a numpy type, whatever its byte order.

    Raises:
        ValueError: if it is not one of DTYPES.
    """
    if dtype.name not in DTYPES:
        raise ValueError(f"dtype: expected one of {sorted(DTYPES)}, got {dtype.name!r}")
    return dtype.name


def byte_count(name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor as stored in a shard: elements are packed where the type is narrower than a byte.

    Raises:
        ValueError: if the dtype is unknown or has no fixed size.
    """
    bits = PACKED_DTYPES.get(name) or 8 * numpy_dtype(name).itemsize
    return -(-math.prod(shape) * bits // 8)
