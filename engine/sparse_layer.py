"""A sparse layer with its tail, by the library in C where it can be, else by numpy. Both give the same bits."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.cores import core_threads
from engine.csr import Csr, rows_of
from engine.jagged import Jagged, jagged_from_csr, multiply
from engine.native import NativeLibrary
from engine.native.library import address
from engine.tensor_ops import alive_samples, non_finite_samples

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Tail:
    """clip(. + bias, low, high).

    bias:      [rows], or [1] for all rows; None = none. low, high: None = unbounded.
    """

    bias: Array | None = None
    low: float | None = None
    high: float | None = None

    def of(self, rows: NDArray[np.integer]) -> Tail:
        """The tail of some rows."""
        return self if self.bias is None or self.bias.size == 1 else replace(self, bias=self.bias[rows])

    def apply(self, values: Array) -> None:
        """Change values [rows, live] in place."""
        if self.bias is not None:
            np.add(values, self.bias[:, None].astype(values.dtype, copy=False), out=values)
        for bound, limit in ((self.low, np.maximum), (self.high, np.minimum)):
            if bound is not None:
                limit(values, values.dtype.type(bound), out=values)


# What a thread multiplies at least, some 2 ms: to wake one takes a twentieth of that.
LEAST_WORK = 4 << 20


class SparseLayer:
    """A matrix that is ready to be multiplied.

    library: the functions in C; None = numpy alone.
    copies:  [cols] how many equal features each feature of x stands for, of which a row may read some; None = one.
    threads: of the functions in C, at most; each computes other rows, so the bits are the same.
    """

    def __init__(
        self,
        matrix: Csr,
        library: NativeLibrary | None,
        copies: NDArray[np.int32] | None = None,
        threads: int = 1,
    ) -> None:
        self._matrix = matrix
        self._copies = copies
        self._library = library
        self._order = near_rows(matrix)
        self._threads = threads
        dtype, self._types = matrix.values.dtype, (matrix.values.dtype.name, matrix.indices.dtype.name)
        self._native_type = dtype if library is not None and self._types in library.layer else None

    @property
    def rows(self) -> int:
        """Number of rows of the matrix."""
        return self._matrix.rows

    @property
    def matrix(self) -> Csr:
        """The matrix."""
        return self._matrix

    @functools.cached_property
    def _jagged(self) -> Jagged:
        return jagged_from_csr(self._matrix, self._copies)

    def __call__(self, x: Array, tail: Tail) -> tuple[Array, NDArray[np.bool_]]:
        """clip(matrix @ x + bias, low, high), and which samples have an element that is not zero.

        x: [cols, live]. Returns [rows, live] in the dtype of x, and [live] bool. NaN is not zero. What is not stored
        is a zero: NaN and Inf spread as if the matrix were dense.

        Raises:
            ProgramError: if x has too few rows.
        """
        self._matrix.check_input(x)
        x = np.ascontiguousarray(x)
        if self._library and self._is_native(x) and self.is_finite(x):
            values = np.empty((self._matrix.rows, x.shape[1]), x.dtype)
            return values, self._by_library(self._library, self._order, x, tail, values)
        values = multiply(self._jagged, x)
        tail.apply(values)
        return values, alive_samples(values)

    def some(self, rows: NDArray[np.bool_], x: Array, tail: Tail, values: Array) -> NDArray[np.bool_]:
        """Write some rows of the product to `values` [rows, live], with the bits that a call for all of them has.

        rows: [rows] which. x: [cols, live], C-contiguous and finite; what those rows do not read may be anything that
        is finite. Returns [live], which samples have an element in those rows that is not zero.

        Raises:
            ProgramError: if x has too few rows.
        """
        self._matrix.check_input(x)
        if self._library and self._is_native(x):
            return self._by_library(self._library, self._order[rows[self._order]], x, tail, values)
        numbers = np.flatnonzero(rows)
        part = multiply(jagged_from_csr(rows_of(self._matrix, numbers)), x)
        tail.of(numbers).apply(part)
        values[numbers] = part
        return alive_samples(part)

    def is_finite(self, x: Array) -> bool:
        """Whether no element of x is NaN or Inf: of what it does not store, a row would lose 0 x NaN."""
        if self._library and self._is_native(x):
            x = np.ascontiguousarray(x)
            return bool(self._library.finite[x.dtype.name](address(x), x.size))
        return not non_finite_samples(x).size

    def _is_native(self, x: Array) -> bool:
        """Whether C knows the types."""
        return self._native_type is not None and x.dtype == self._native_type

    def _by_library(
        self, library: NativeLibrary, order: NDArray[np.int32], x: Array, tail: Tail, values: Array
    ) -> NDArray[np.bool_]:
        """Compute the rows of `order`, in several threads where it is much; which samples they keep alive."""
        parts = self._parts(order, x.shape[1])
        compute = functools.partial(self._rows_by_library, library, x=x, tail=tail, values=values)
        if len(parts) == 1:
            return compute(order)
        return np.asarray(np.logical_or.reduce(list(core_threads().map(compute, parts))))

    def _parts(self, order: NDArray[np.int32], live: int) -> list[NDArray[np.int32]]:
        """The rows in as many parts of equal work as threads are worth while."""
        count = min(self._threads, self._matrix.entries * live // LEAST_WORK)
        if count < 2:
            return [order]
        work = np.cumsum(np.diff(self._matrix.indptr)[order])
        cuts = np.searchsorted(work, work[-1] * np.arange(1, count) / count) if work.size else []
        return np.split(order, cuts)

    def _rows_by_library(
        self, library: NativeLibrary, order: NDArray[np.int32], x: Array, tail: Tail, values: Array
    ) -> NDArray[np.bool_]:
        matrix, live = self._matrix, x.shape[1]
        alive = np.zeros(live, np.uint8)
        bias = None if tail.bias is None else np.ascontiguousarray(tail.bias, x.dtype)
        library.layer[self._types](
            *map(address, (order, matrix.indptr, matrix.indices, matrix.values)),
            int(matrix.values.size > 1),
            order.size,
            address(x),
            live,
            address(bias),
            int(bias is not None and bias.size > 1),
            -np.inf if tail.low is None else tail.low,
            np.inf if tail.high is None else tail.high,
            address(values),
            address(alive),
        )
        return alive.view(np.bool_)


def near_rows(matrix: Csr) -> NDArray[np.int32]:
    """An order of the rows in which those that read the same features are neighbours."""
    starts, full = matrix.indptr[:-1], np.diff(matrix.indptr) > 0
    total, first = np.zeros(matrix.rows, np.int64), np.full(matrix.rows, -1, np.int64)
    if full.any():
        total[full] = np.add.reduceat(matrix.indices, starts[full], dtype=np.int64)
        first[full] = matrix.indices[starts[full]]
    return np.lexsort((total, first)).astype(np.int32)
