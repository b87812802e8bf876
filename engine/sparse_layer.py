"""A sparse layer with its tail, by the library in C where it can be, else by numpy. Both give the same bits."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.csr import Csr
from engine.jagged import Jagged, jagged_from_csr, multiply
from engine.native import NativeLibrary
from engine.native.library import address
from engine.tensor_ops import alive_samples

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Tail:
    """clip(. + bias, low, high).

    bias:      [rows], or [1] for all rows; None = none. low, high: None = unbounded.
    """

    bias: Array | None = None
    low: float | None = None
    high: float | None = None

    def apply(self, values: Array) -> None:
        """Change values [rows, live] in place."""
        if self.bias is not None:
            np.add(values, self.bias[:, None].astype(values.dtype, copy=False), out=values)
        for bound, limit in ((self.low, np.maximum), (self.high, np.minimum)):
            if bound is not None:
                limit(values, values.dtype.type(bound), out=values)


class SparseLayer:
    """A matrix that is ready to be multiplied.

    library: the functions in C; None = numpy alone.
    copies:  [cols] how many equal features each feature of x stands for, of which a row may read some; None = one.
    """

    def __init__(self, matrix: Csr, library: NativeLibrary | None, copies: NDArray[np.int32] | None = None) -> None:
        self._matrix = matrix
        self._copies = copies
        self._library = library
        self._order = near_rows(matrix)

    @property
    def rows(self) -> int:
        """Number of rows of the matrix."""
        return self._matrix.rows

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
        if self._library and self._is_native(self._library, x):
            return self._by_library(self._library, x, tail)
        values = multiply(self._jagged, x)
        tail.apply(values)
        return values, alive_samples(values)

    def _is_native(self, library: NativeLibrary, x: Array) -> bool:
        """Whether C computes what numpy would: of what it does not store, it would lose 0 x NaN."""
        name = x.dtype.name
        known = x.dtype == self._matrix.values.dtype and name in library.layer
        return known and bool(library.finite[name](address(x), x.size))

    def _by_library(self, library: NativeLibrary, x: Array, tail: Tail) -> tuple[Array, NDArray[np.bool_]]:
        matrix, live = self._matrix, x.shape[1]
        values, alive = np.empty((matrix.rows, live), x.dtype), np.zeros(live, np.uint8)
        bias = None if tail.bias is None else np.ascontiguousarray(tail.bias, x.dtype)
        library.layer[x.dtype.name](
            *map(address, (self._order, matrix.indptr, matrix.indices, matrix.values)),
            matrix.rows,
            address(x),
            live,
            address(bias),
            int(bias is not None and bias.size > 1),
            -np.inf if tail.low is None else tail.low,
            np.inf if tail.high is None else tail.high,
            address(values),
            address(alive),
        )
        return values, alive.view(np.bool_)


def near_rows(matrix: Csr) -> NDArray[np.int32]:
    """An order of the rows in which those that read the same features are neighbours."""
    starts = matrix.indptr[:-1]
    sums = np.concatenate([[0], np.cumsum(matrix.indices, dtype=np.int64)])
    total = sums[matrix.indptr[1:]] - sums[starts]
    padded = np.append(matrix.indices, -1)
    return np.lexsort((total, padded[np.minimum(starts, matrix.indices.size)])).astype(np.int32)
