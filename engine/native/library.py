"""Finds the library of this machine, if there is one, and gives its functions their types.

Where it is missing (another operating system, or nobody built it) numpy does the work, slower.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.csr import INDEX_TYPES

FOLDER = Path(__file__).parent
# The names that Lambda gives to architectures; platform.machine() has others for one of them.
ARCHITECTURES = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_SCALARS: dict[str, Any] = {"float32": ctypes.c_float, "float64": ctypes.c_double}
_INDICES = tuple(dtype.name for dtype in INDEX_TYPES)
_CPU_INFO = Path("/proc/cpuinfo")


def library_file(architecture: str) -> Path:
    """Where the library for an architecture (x86_64 or arm64) lies once it is built."""
    return FOLDER / f"sparse.{architecture}.so"


@dataclass(frozen=True)
class NativeLibrary:
    """The functions by dtype of the elements, "float32" or "float64".

    layer:  also by dtype of the indices, "uint16" or "int32"; see sparse_layer.h; arrays are passed by address.
    finite: whether all elements of an array are finite.
    """

    layer: dict[tuple[str, str], Callable[..., None]]
    finite: dict[str, Callable[..., int]]


@functools.cache
def native_library() -> NativeLibrary | None:
    """The library of this machine; None if there is none."""
    architecture = ARCHITECTURES.get(platform.machine(), "")
    path = library_file(architecture)
    if sys.platform != "linux" or not path.is_file():
        return None
    suffix = "_avx2" if architecture == "x86_64" and "avx2" in cpu_features() else ""
    return load_library(path, suffix)


def load_library(path: Path, suffix: str) -> NativeLibrary:
    """The functions of a library; suffix: "_avx2" for those that need it, else empty."""
    library = ctypes.CDLL(str(path))
    return NativeLibrary(
        layer={types: _typed_layer(library, *types, suffix) for types in product(_SCALARS, _INDICES)},
        finite={dtype: _typed_finite(library, dtype) for dtype in _SCALARS},
    )


def cpu_features() -> frozenset[str]:
    """What the processor can do, in Linux' words; nothing where it does not say."""
    text = _CPU_INFO.read_text() if _CPU_INFO.is_file() else ""
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def address(array: NDArray[np.generic] | None) -> int | None:
    """What C gets for an array; None becomes NULL."""
    return None if array is None else array.ctypes.data


def _typed_layer(library: ctypes.CDLL, dtype: str, indices: str, suffix: str) -> Callable[..., None]:
    function = library[f"layer_{dtype}_{indices}{suffix}"]
    array, size, scalar = ctypes.c_void_p, ctypes.c_int64, _SCALARS[dtype]
    function.argtypes = [array] * 4 + [size, size, array, size, array, size, scalar, scalar, array, array]
    function.restype = None
    return function


def _typed_finite(library: ctypes.CDLL, dtype: str) -> Callable[..., int]:
    function = library[f"finite_{dtype}"]
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    function.restype = ctypes.c_int32
    return function
