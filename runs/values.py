"""Tensors as a caller writes and reads them: nested lists in JSON, or an .npz.

JSON has no NaN or infinities: they are the strings "NaN", "Infinity", "-Infinity", as in protobuf's JSON mapping.
Half and bfloat16 numbers are plain numbers in JSON; an .npz holds bfloat16 as its raw 16-bit words, because numpy has
no name for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.dtypes import numpy_dtype
from bundle.manifest import TensorSpec
from runs.errors import BadRequest
from runs.npz import NpzError, read_npz, write_npz

Array = NDArray[Any]
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
MAX_INPUT_BYTES = 4 << 30


def from_json(spec: TensorSpec, value: object) -> Array:
    """The array that nested lists of numbers (booleans, strings) mean for this input.

    Raises:
        BadRequest: ragged lists, or elements that the input's dtype does not hold.
    """
    if spec.dtype == "string":
        return _strings(spec, value)
    try:
        array = np.asarray(_specials(value))
    except ValueError:
        raise BadRequest(f"input {spec.name!r}: expected nested lists of equal lengths, got ragged ones") from None
    wanted = numpy_dtype(spec.dtype)
    if array.size and not _holds(wanted, array):
        raise BadRequest(f"input {spec.name!r}: expected {spec.dtype} elements, got {_kind(array)}")
    return array.astype(wanted)


def to_json(array: Array) -> object:
    """Nested lists of the array's elements."""
    if array.dtype.kind in "OSU":
        return array.tolist()
    if array.dtype.kind in "biu":
        return array.tolist()
    wide = array.astype(np.float64)
    values = wide.tolist()
    return values if bool(np.isfinite(wide).all()) else _named(values)


def load_npz(data: bytes, specs: Mapping[str, TensorSpec], where: str) -> dict[str, Array]:
    """The arrays of an .npz, by name.

    Raises:
        BadRequest: it is no .npz, or larger than MAX_INPUT_BYTES when unpacked.
    """
    try:
        arrays = read_npz(data, MAX_INPUT_BYTES)
    except NpzError as error:
        raise BadRequest(f"{where}: {error}") from None
    return {name: _typed(specs.get(name), array) for name, array in arrays.items()}


def dump_npz(arrays: Mapping[str, Array]) -> bytes:
    """An .npz of the arrays, compressed: activations are mostly zeros."""
    return write_npz({name: _plain(array) for name, array in arrays.items()})


def _plain(array: Array) -> Array:
    if array.dtype.kind == "O":
        return array.astype(np.str_)
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array


def _typed(spec: TensorSpec | None, array: Array) -> Array:
    if spec is not None and spec.dtype == "bfloat16" and array.dtype in (np.uint16, np.dtype("V2")):
        return array.view(numpy_dtype("bfloat16"))
    if spec is not None and spec.dtype == "string" and array.dtype.kind in "SU":
        return array.astype(np.str_).astype(object)
    return array


def _strings(spec: TensorSpec, value: object) -> Array:
    array = np.asarray(value, dtype=object)
    if not all(isinstance(item, str) for item in array.ravel()):
        raise BadRequest(f"input {spec.name!r}: expected strings")
    return array


def _specials(value: object) -> object:
    if isinstance(value, list):
        return [_specials(item) for item in value]
    return _SPECIAL.get(value, value) if isinstance(value, str) else value


def _named(value: object) -> object:
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _holds(wanted: np.dtype[Any], array: Array) -> bool:
    if wanted.kind == "b":
        return bool(array.dtype.kind == "b")
    if wanted.kind in "iu":
        if array.dtype.kind not in "iu":
            return False
        limits = np.iinfo(wanted)
        return int(array.min()) >= limits.min and int(array.max()) <= limits.max
    return array.dtype.kind in "iuf"


def _kind(array: Array) -> str:
    return {"U": "text", "O": "mixed", "b": "booleans"}.get(array.dtype.kind, f"{array.dtype.name} values")
