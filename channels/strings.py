"""String tensors: a length for each string, then all of them as utf-8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channels.errors import CodecError

_LENGTH = np.dtype("<u4")
OBJECT_BYTES = 64  # what CPython takes for a short str and its reference: 49 + 8, rounded up


def encode_strings(array: NDArray[np.generic]) -> bytes:
    """Return the bytes of an array of str (object or fixed width).

    Raises:
        CodecError: if an element is no str, or holds a lone surrogate.
    """
    try:
        parts = [str.encode(s, "utf-8") for s in array.reshape(-1).tolist()]
    except (TypeError, UnicodeEncodeError) as error:
        raise CodecError(f"tensor of strings: expected str that utf-8 can hold: {error}") from error
    return np.array([len(p) for p in parts], dtype=_LENGTH).tobytes() + b"".join(parts)


def decode_strings(data: memoryview, shape: tuple[int, ...], count: int) -> NDArray[np.object_]:
    """Return an object array of `shape`, which holds `count` strings.

    Raises:
        CodecError: if lengths and text do not fill `data` exactly, or are no utf-8.
    """
    table = count * _LENGTH.itemsize
    if table > len(data):
        raise CodecError(f"payload: expected the lengths of {count} strings, got {len(data)} bytes")
    ends = np.cumsum(np.frombuffer(data[:table], dtype=_LENGTH), dtype=np.int64) + table
    if (int(ends[-1]) if count else table) != len(data):
        raise CodecError(f"payload: lengths of {count} strings do not add up to {len(data) - table} bytes")
    return _cut(data, table, ends.tolist(), shape)


def _cut(data: memoryview, start: int, ends: list[int], shape: tuple[int, ...]) -> NDArray[np.object_]:
    array = np.empty(len(ends), dtype=np.object_)
    try:
        for i, (a, b) in enumerate(zip([start, *ends], ends, strict=False)):
            array[i] = str(data[a:b], "utf-8")
    except UnicodeDecodeError as error:
        raise CodecError(f"payload: string {i} is no utf-8: {error}") from error
    return array.reshape(shape)
