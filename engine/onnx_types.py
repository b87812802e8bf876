"""Values of element types that numpy lacks (bfloat16, float8), to and from onnxruntime."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bundle.dtypes import numpy_dtype

# TensorProto.DataType of onnx.proto3; only those that numpy has no type for.
ONNX_TYPES: Mapping[str, int] = {
    "bfloat16": 16,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
    "float8_e8m0fnu": 24,
}
_NAMES = {number: name for name, number in ONNX_TYPES.items()}


def to_ort(array: NDArray[np.generic]) -> ort.OrtValue:
    """An OrtValue that shares the memory of a C-contiguous array; it keeps the array alive."""
    array = np.asarray(array, order="C")
    if array.dtype.name in ONNX_TYPES:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, ONNX_TYPES[array.dtype.name])
    return ort.OrtValue.ortvalue_from_numpy(array)


def to_numpy(value: ort.OrtValue) -> object:
    """An array of an OrtValue's content."""
    if not value.is_tensor() or value.element_type() not in _NAMES:
        return value.numpy()
    dtype, shape = numpy_dtype(_NAMES[value.element_type()]), tuple(value.shape())
    raw = ctypes.string_at(value.data_ptr(), math.prod(shape) * dtype.itemsize)
    return np.frombuffer(raw, dtype).reshape(shape)
