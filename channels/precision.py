"""Floats in fewer bits on the way: a trade of accuracy for bytes, taken only where a model was registered with it.

A tensor that the smaller type cannot hold (beyond its range, or not finite for int8) travels as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from channels.errors import CodecError, ConfigError

EXACT = "exact"
PRECISIONS: Mapping[str, int] = {EXACT: 0, "fp16": 1, "bf16": 2, "int8": 3}
"""Their codes on the wire. Error of an element: fp16 2**-11 and bf16 2**-8 of it, int8 1/254 of the largest element."""

_FLOATS: Mapping[int, np.dtype[np.generic]] = {
    PRECISIONS["fp16"]: np.dtype("<f2"),
    PRECISIONS["bf16"]: np.dtype(ml_dtypes.bfloat16),
}
_INT8 = PRECISIONS["int8"]
_SCALE = np.dtype("<f4")
_REDUCED = (np.dtype(np.float32), np.dtype(np.float64))


def precision_code(name: str) -> int:
    """The code of a precision.

    Raises:
        ConfigError: if there is none of that name; lists the known ones.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"precision: expected one of {', '.join(PRECISIONS)}, got {name!r}")
    return PRECISIONS[name]


def reduce(array: NDArray[np.generic], code: int) -> tuple[int, memoryview, int] | None:
    """Return (code, bytes, bytes of an element), 0 where those are not of one size; None where it stays as it is."""
    if not code or array.dtype not in _REDUCED or not array.size:
        return None
    values: NDArray[np.floating] = array.reshape(-1).astype(np.promote_types(array.dtype, np.float32), copy=False)
    if code == _INT8:
        return _quantised(values)
    with np.errstate(over="ignore"):
        small = values.astype(_FLOATS[code])
    if np.isinf(small.astype(np.float32)).sum() > np.isinf(values).sum():
        return None
    return code, small.view(np.uint8).data, small.itemsize


def _quantised(values: NDArray[np.floating]) -> tuple[int, memoryview, int] | None:
    largest = float(np.abs(values).max())
    scale = np.array([largest / 127 or 1.0], _SCALE)
    if not np.isfinite(scale[0]) or not scale[0]:
        return None
    small = np.rint(values / scale[0]).clip(-127, 127).astype(np.int8)
    return _INT8, memoryview(scale.tobytes() + small.tobytes()), 0


def stored_type(code: int, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The type of the elements on the wire.

    Raises:
        CodecError: if the code is unknown, or not one for `dtype`.
    """
    if not code:
        return dtype
    if code not in (*_FLOATS, _INT8) or dtype not in _REDUCED:
        raise CodecError(f"payload: unknown precision {code} of {dtype}")
    return _FLOATS.get(code, np.dtype(np.int8))


def restore(body: memoryview, code: int, dtype: np.dtype[np.generic]) -> memoryview:
    """The bytes of `dtype` elements; the caller has made sure that there is memory for them.

    Raises:
        CodecError: if the body is not what `reduce` makes.
    """
    if not code:
        return body
    stored, scale_bytes = stored_type(code, dtype), _SCALE.itemsize if code == _INT8 else 0
    if len(body) < scale_bytes or (len(body) - scale_bytes) % stored.itemsize:
        raise CodecError(f"payload: expected elements of {stored}, got {len(body)} bytes")
    values = np.frombuffer(body[scale_bytes:], stored).astype(dtype)
    if scale_bytes:
        values *= np.frombuffer(body[:scale_bytes], _SCALE)[0]
    return values.view(np.uint8).data
