"""Compare two sets of outputs: same names, types and shapes; floats within a tolerance, everything else equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# dtype -> tolerance, relative to a value and to the largest value of its tensor (at least 1). Sums in another order
# differ by rounding: about 1e-7 per addend in float32, whose errors grow with the square root of their number.
TOLERANCES: Mapping[str, float] = {"float64": 1e-9, "float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}


_Found = tuple[str, float, float]  # problem or "", absolute error, relative error


@dataclass(frozen=True)
class Difference:
    """How far outputs are from a reference.

    ok:          all within tolerance.
    max_abs_err: largest difference of two finite values; max_rel_err: relative to the largest value of the tensor.
    problems:    one line per output that is not ok.
    """

    ok: bool
    max_abs_err: float
    max_rel_err: float
    problems: tuple[str, ...]


def compare(expected: Mapping[str, Any], got: Mapping[str, Any]) -> Difference:
    """Hold outputs, as onnxruntime gives them, against a reference, by name."""
    names = sorted({*expected, *got})
    errors = [_compare_one(name, expected.get(name, ...), got.get(name, ...)) for name in names]
    problems = tuple(problem for problem, _, _ in errors if problem)
    return Difference(
        not problems,
        max((absolute for _, absolute, _ in errors), default=0.0),
        max((relative for _, _, relative in errors), default=0.0),
        problems,
    )


def _compare_one(name: str, want: Any, got: Any) -> _Found:
    """Tensors are compared by value, sequences and maps item by item."""
    if isinstance(want, dict) and isinstance(got, dict) and set(want) == set(got):
        want, got = _values(want, want), _values(got, want)
    if isinstance(want, np.ndarray) and isinstance(got, np.ndarray):
        return _compare_arrays(name, want, got)
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        items = [_compare_one(f"{name}[{i}]", *pair) for i, pair in enumerate(zip(want, got, strict=True))]
        return max(items, key=lambda found: (bool(found[0]), found[2]), default=("", 0.0, 0.0))
    same = want is None and got is None  # an absent optional
    return ("" if same else f"output {name!r}: expected {_kind(want)}, got {_kind(got)}"), 0.0, 0.0


def _values(mapping: dict[Any, Any], keys: Iterable[Any]) -> NDArray[Any]:
    """The values of a map in the order of some keys: onnxruntime gives its float32 as Python's floats."""
    array = np.asarray([mapping[key] for key in keys])
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _kind(value: Any) -> str:
    if value is ...:
        return "no such output"
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _compare_arrays(name: str, want: NDArray[Any], got: NDArray[Any]) -> _Found:
    if want.shape != got.shape or want.dtype != got.dtype:
        return f"output {name!r}: expected {want.dtype} {want.shape}, got {got.dtype} {got.shape}", 0.0, 0.0
    tolerance = TOLERANCES.get(want.dtype.name)
    if tolerance is None:
        same = bool(np.array_equal(want, got))
        return ("" if same else f"output {name!r}: expected equal values, got different ones"), 0.0, 0.0
    return _compare_floats(name, want.astype(np.float64), got.astype(np.float64), tolerance)


def _compare_floats(name: str, want: NDArray[np.float64], got: NDArray[np.float64], tolerance: float) -> _Found:
    finite = np.isfinite(want) & np.isfinite(got)
    if not np.array_equal(want[~finite], got[~finite], equal_nan=True):
        return f"output {name!r}: expected the same NaN and Inf, got others", 0.0, 0.0
    scale = max(1.0, float(np.abs(want[finite]).max(initial=0.0)))
    error = float(np.abs(want[finite] - got[finite]).max(initial=0.0))
    problem = f"output {name!r}: expected errors <= {tolerance * scale:g}, got {error:g}"
    return ("" if error <= tolerance * scale else problem), error, error / scale
