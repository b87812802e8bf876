"""Which element types travel, and their code on the wire. Codes are for ever; ONNX's own numbers are used."""

from __future__ import annotations

from functools import lru_cache

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike, NDArray

from channels.errors import CodecError

STRING = 8

# code -> type; the codes are onnx.TensorProto.DataType's
_TYPES: tuple[tuple[int, DTypeLike], ...] = (
    (1, np.float32),
    (2, np.uint8),
    (3, np.int8),
    (4, np.uint16),
    (5, np.int16),
    (6, np.int32),
    (7, np.int64),
    (9, np.bool_),
    (10, np.float16),
    (11, np.float64),
    (12, np.uint32),
    (13, np.uint64),
    (14, np.complex64),
    (15, np.complex128),
    (16, ml_dtypes.bfloat16),
    (17, ml_dtypes.float8_e4m3fn),
    (18, ml_dtypes.float8_e4m3fnuz),
    (19, ml_dtypes.float8_e5m2),
    (20, ml_dtypes.float8_e5m2fnuz),
    (21, ml_dtypes.uint4),
    (22, ml_dtypes.int4),
    (23, ml_dtypes.float4_e2m1fn),
    (24, ml_dtypes.float8_e8m0fnu),
    (25, ml_dtypes.uint2),
    (26, ml_dtypes.int2),
    (27, ml_dtypes.float6_e2m3fn),
    (28, ml_dtypes.float6_e3m2fn),
)


@lru_cache(maxsize=1)
def _by_code() -> dict[int, np.dtype[np.generic]]:
    return {code: np.dtype(kind) for code, kind in _TYPES}


@lru_cache(maxsize=1)
def _by_dtype() -> dict[np.dtype[np.generic], int]:
    return {dtype: code for code, dtype in _by_code().items()}


def wire_code(array: NDArray[np.generic]) -> int:
    """Return the code of an array's element type; strings (object or fixed width) are STRING.

    Raises:
        CodecError: if the type does not travel.
    """
    if array.dtype.kind in "OU":
        return STRING
    try:
        return _by_dtype()[array.dtype.newbyteorder("<") if array.dtype.kind in "iufc" else array.dtype]
    except KeyError:
        raise CodecError(f"tensor: expected a number, bool or string type, got {array.dtype}") from None


def from_wire_code(code: int) -> np.dtype[np.generic]:
    """Return the element type of a code other than STRING.

    Raises:
        CodecError: if the code is unknown.
    """
    try:
        return _by_code()[code]
    except KeyError:
        raise CodecError(f"payload: unknown element type {code}, expected one of {sorted(_by_code())}") from None
