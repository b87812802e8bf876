"""Reducing the parts of a group, always in group order: a run is reproducible, and all ranks get the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ProgramError

Array = NDArray[np.generic]

_UFUNCS: dict[str, Callable[..., Any]] = {
    "max": np.maximum,
    "mean": np.add,
    "min": np.minimum,
    "prod": np.multiply,
    "sum": np.add,
}
REDUCTIONS = frozenset(_UFUNCS)


def reduce_parts(name: str, parts: Sequence[Array]) -> Array:
    """Element-wise reduction of equal-shaped parts, first to last.

    name: "sum", "mean", "max", "min" or "prod". Floats narrower than float32 are accumulated in float32.

    Raises:
        ProgramError: if the name is unknown.
    """
    if name not in _UFUNCS:
        raise ProgramError(f"reduce: expected one of {sorted(_UFUNCS)}, got {name!r}")
    dtype = parts[0].dtype
    total = parts[0].astype(accumulator_dtype(dtype))
    for part in parts[1:]:
        total = _UFUNCS[name](total, part, dtype=total.dtype)
    if name == "mean":
        total = total / len(parts)
    return np.asarray(total).astype(dtype, copy=False)


def accumulator_dtype(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """float32 for narrower floats (ml_dtypes' included), else the type itself."""
    narrow_float = dtype.itemsize < 4 and (dtype.kind == "f" or dtype.name.startswith(("bfloat", "float")))
    return np.dtype(np.float32) if narrow_float else dtype
