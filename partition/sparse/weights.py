"""Sparse initializers, taken out of a proto before any library sees the graph.

onnx-ir drops them silently, shape inference and the checker's full mode fail on them. Each leaves a typed graph input
of its name as a placeholder, and its values in a side table; non-zeros are counted on both sides of every step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from partition.errors import InvalidModelError
from partition.tensor_checks import inner_graphs

Array = NDArray[Any]
Rows = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class SparseWeight:
    """A [k, n] matrix by output neuron: the stored entries of column j are `slice(indptr[j], indptr[j + 1])`.

    indptr:  [n + 1] int64.
    indices: [nnz] int32, the input neuron of each entry, ascending within a column.
    values:  [nnz].
    """

    shape: tuple[int, int]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: Array

    @property
    def nnz(self) -> int:
        """Stored entries."""
        return int(self.values.size)

    @cached_property
    def nbytes(self) -> int:
        """Bytes in a shard."""
        indices = self.nnz * index_type(self.shape[0]).itemsize
        return stored_values(self.values).nbytes + indices + self.indptr.size * np.dtype(np.int32).itemsize

    def dense(self) -> Array:
        """The same matrix [k, n] with its zeros."""
        full = np.zeros(self.shape, self.values.dtype)
        full[self.indices, np.repeat(np.arange(self.shape[1]), np.diff(self.indptr))] = self.values
        return full


def index_type(inputs: int) -> np.dtype[Any]:
    """What the numbers of so many input neurons are stored as."""
    return np.dtype(np.uint16 if inputs <= 1 << 16 else np.int32)


def stored_values(values: Array) -> Array:
    """The values of all entries as they are stored: one where they are all the same."""
    same = values.size > 0 and bool((values == values[0]).all())
    return np.ascontiguousarray(values[:1] if same else values)


def from_coordinates(shape: tuple[int, int], rows: Array, columns: Array, values: Array) -> SparseWeight:
    """The weight with entries values[i] at (rows[i], columns[i]); explicit zeros are dropped.

    Raises:
        InvalidModelError: if an entry lies outside of the matrix or is given twice.
    """
    if values.size and not (
        rows.min() >= 0 and rows.max() < shape[0] and columns.min() >= 0 and columns.max() < shape[1]
    ):
        raise InvalidModelError(f"sparse initializer: expected indices inside {shape}, got some outside")
    stored = values != 0
    if not stored.all():
        rows, columns, values = rows[stored], columns[stored], values[stored]
    order = _by_column(rows, columns)
    rows, columns = rows[order].astype(np.int32), columns[order]
    if ((rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1])).any():
        raise InvalidModelError("sparse initializer: expected each entry once, got duplicates")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=shape[1]))]).astype(np.int64)
    return SparseWeight(shape, indptr, rows, np.ascontiguousarray(values[order]))


def _by_column(rows: Array, columns: Array) -> NDArray[np.int64]:
    """Column by column, rows ascending. Where rows ascend already, small column numbers are radix sorted."""
    if (np.diff(rows) >= 0).all() and columns.max(initial=0) < 1 << 16:
        return np.argsort(columns.astype(np.uint16), kind="stable")
    return np.lexsort((rows, columns))


def transposed(weight: SparseWeight) -> SparseWeight:
    """The [n, k] matrix."""
    columns = np.repeat(np.arange(weight.shape[1]), np.diff(weight.indptr))
    return from_coordinates((weight.shape[1], weight.shape[0]), columns, weight.indices, weight.values)


def without_repeats(weight: SparseWeight) -> SparseWeight:
    """A weight with one entry for each input that a column names: of several, as merged rows have them, the first."""
    columns = np.repeat(np.arange(weight.shape[1]), np.diff(weight.indptr))
    keys = columns.astype(np.int64) * weight.shape[0] + weight.indices
    first = np.unique(keys, return_index=True)[1]
    if first.size == keys.size:
        return weight
    return from_coordinates(weight.shape, weight.indices[first], columns[first], weight.values[first])


def from_dense(matrix: Array) -> SparseWeight:
    """The stored entries of a dense [k, n] matrix."""
    rows, columns = np.nonzero(matrix)
    return from_coordinates((matrix.shape[0], matrix.shape[1]), rows, columns, matrix[rows, columns])


def take_sparse(proto: onnx.ModelProto, base_dir: Path | None) -> dict[str, SparseWeight]:
    """Move 2-D sparse initializers of the main graph from `proto` to a table, and make all other sparse tensors dense.

    Raises:
        InvalidModelError: if one is malformed, or non-zeros got lost.
    """
    table: dict[str, SparseWeight] = {}
    for sparse in proto.graph.sparse_initializer:
        _move(proto.graph, sparse, base_dir, table)
    del proto.graph.sparse_initializer[:]
    for graph in list(inner_graphs([proto.graph, *proto.functions])):
        _densify(graph, base_dir)
    return table


def _move(graph: onnx.GraphProto, sparse: onnx.SparseTensorProto, base_dir: Path | None, table: dict[str, Any]) -> None:
    name, shape = sparse.values.name, tuple(sparse.dims)
    values, coordinates = _coordinates(sparse, base_dir)
    if len(shape) != 2:
        graph.initializer.append(_dense_proto(name, shape, coordinates, values))
        return
    table[name] = from_coordinates((shape[0], shape[1]), coordinates[0], coordinates[1], values)
    if table[name].nnz != np.count_nonzero(values):
        raise InvalidModelError(
            f"sparse initializer {name!r}: expected {np.count_nonzero(values)} non-zeros, got {table[name].nnz}"
        )
    if all(value.name != name for value in graph.input):
        graph.input.append(onnx.helper.make_tensor_value_info(name, sparse.values.data_type, shape))


def _coordinates(sparse: onnx.SparseTensorProto, base_dir: Path | None) -> tuple[Array, tuple[Array, ...]]:
    """Values [nnz] and one index array [nnz] per axis.

    Raises:
        InvalidModelError: if the two do not fit.
    """
    values, indices = (_array(tensor, base_dir) for tensor in (sparse.values, sparse.indices))
    shape = tuple(sparse.dims)
    if indices.ndim not in (1, 2) or indices.shape[0] != values.size or any(dim < 0 for dim in shape):
        raise InvalidModelError(
            f"sparse initializer {sparse.values.name!r}: expected {values.size} indices, got {indices.shape}"
        )
    if indices.ndim == 2:
        return values, tuple(indices.T)
    if indices.size and not (indices.min() >= 0 and indices.max() < np.prod(shape, dtype=np.float64)):
        raise InvalidModelError(
            f"sparse initializer {sparse.values.name!r}: expected indices inside {shape}, got some outside"
        )
    return values, np.unravel_index(indices, shape)


def _array(tensor: onnx.TensorProto, base_dir: Path | None) -> Array:
    """The elements; external ones are mapped, so that a model larger than memory passes one tensor at a time.

    Raises:
        InvalidModelError: if the file is shorter than the tensor.
    """
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if tensor.data_location != onnx.TensorProto.EXTERNAL or dtype.kind not in "fiu" or base_dir is None:
        return onnx.numpy_helper.to_array(tensor, base_dir=str(base_dir or ""))
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path, offset = base_dir / entries["location"], int(entries.get("offset", 0))
    needed, size = math.prod(tensor.dims) * dtype.itemsize, path.stat().st_size - offset
    if offset < 0 or needed > size or int(entries.get("length", needed)) != needed:
        raise InvalidModelError(
            f"sparse initializer {tensor.name!r}: expected {needed} bytes of external data, got {size}"
        )
    if not needed:
        return np.zeros(tuple(tensor.dims), dtype)
    return np.memmap(path, dtype.newbyteorder("<"), "r", offset, tuple(tensor.dims))


def _dense_proto(name: str, shape: tuple[int, ...], coordinates: tuple[Array, ...], values: Array) -> onnx.TensorProto:
    full = np.zeros(shape, values.dtype)
    full[coordinates] = values
    return onnx.numpy_helper.from_array(full, name)


def _densify(graph: onnx.GraphProto | onnx.FunctionProto, base_dir: Path | None) -> None:
    if isinstance(graph, onnx.GraphProto):
        for sparse in graph.sparse_initializer:
            values, coordinates = _coordinates(sparse, base_dir)
            graph.initializer.append(_dense_proto(sparse.values.name, tuple(sparse.dims), coordinates, values))
        del graph.sparse_initializer[:]
    for attribute in (a for node in graph.node for a in node.attribute if a.HasField("sparse_tensor")):
        values, coordinates = _coordinates(attribute.sparse_tensor, base_dir)
        dense = _dense_proto("", tuple(attribute.sparse_tensor.dims), coordinates, values)
        attribute.Clear()
        attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
        attribute.t.CopyFrom(dense)
