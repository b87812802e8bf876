"""Sparse matrix times live tensor in numpy: the reference for other implementations, and the fallback.

The rows of a CSR matrix are ordered by length, longest first. The k-th entries of all rows long enough are then a
prefix (a "jagged diagonal", as in Y. Saad's JDS format), which numpy adds with one gather, one product and one sum. So
every output is accumulated in the order of its row's entries, whatever the block sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.csr import Csr
from engine.tensor_ops import non_finite_samples

# Accumulators and as many gathered values of a block: 512 KB of float32, about a core's L2. Measured best of 8 shapes.
_BLOCK_ITEMS = 1 << 16
_BLOCK_SAMPLES = 512


@dataclass(frozen=True, eq=False)
class Jagged:
    """A matrix [rows, cols], by jagged diagonals.

    order:   [rows] row numbers, longest row first, equal lengths in ascending order; None if that is 0, 1, 2, ...
    columns: k-th entry: column of the k-th stored value of each of the first rows of `order`.
    values:  k-th entry: [n, 1] those values.
    rows:    number of rows.
    copies:  [cols] how many equal features each feature stands for; None = one. A row stores it once for each.
    """

    order: NDArray[np.intp] | None
    columns: tuple[NDArray[np.intp], ...]
    values: tuple[NDArray[np.generic], ...]
    rows: int
    copies: NDArray[np.int32] | None = None


def jagged_from_csr(matrix: Csr, copies: NDArray[np.int32] | None = None) -> Jagged:
    """The jagged form of a matrix by compressed rows."""
    indptr, indices, values = matrix.indptr, matrix.indices, matrix.value_of_each
    lengths = np.diff(indptr)
    order = np.argsort(-lengths, kind="stable")
    starts = indptr[:-1].astype(np.intp)[order]
    counts = [int(np.count_nonzero(lengths > k)) for k in range(int(lengths.max(initial=0)))]
    places = [starts[:count] + k for k, count in enumerate(counts)]
    return Jagged(
        order=None if (order[:-1] < order[1:]).all() else order,
        columns=tuple(indices[place].astype(np.intp) for place in places),
        values=tuple(values[place][:, None] for place in places),
        rows=lengths.size,
        copies=copies,
    )


def multiply(matrix: Jagged, x: NDArray[np.generic]) -> NDArray[np.generic]:
    """matrix @ x, accumulated in the dtype of x. What is not stored is a zero: NaN and Inf spread as if it were dense.

    x: [cols, live], cols as many as the matrix reads. Returns [rows, live].
    """
    out = np.zeros((matrix.rows, x.shape[1]), x.dtype)
    for start in range(0, x.shape[1], _BLOCK_SAMPLES):
        block = np.ascontiguousarray(x[:, start : start + _BLOCK_SAMPLES])
        with np.errstate(invalid="ignore", over="ignore"):
            _multiply_block(matrix, block, out[:, start : start + _BLOCK_SAMPLES])
    _spread_non_finite(matrix, x, out)
    return out


def _spread_non_finite(matrix: Jagged, x: NDArray[np.generic], out: NDArray[np.generic]) -> None:
    """0 x NaN and 0 x Inf are NaN: so are outputs whose row does not store all non-finite features of the sample."""
    bad = non_finite_samples(x)
    if not bad.size:
        return
    marks = (~np.isfinite(x[:, bad])).astype(np.float32)
    stored = np.zeros((matrix.rows, bad.size), np.float32)
    ones = replace(matrix, values=tuple(np.ones((*columns.shape, 1), np.float32) for columns in matrix.columns))
    _multiply_block(ones, marks, stored)
    features = marks.sum(axis=0) if matrix.copies is None else matrix.copies[: len(marks)] @ marks
    out[:, bad] = np.where(stored < features, np.nan, out[:, bad])


def _multiply_block(matrix: Jagged, x: NDArray[np.generic], out: NDArray[np.generic]) -> None:
    rows = min(max(1, _BLOCK_ITEMS // x.shape[1]), matrix.rows)
    gathered, total = np.empty((rows, x.shape[1]), x.dtype), np.empty((rows, x.shape[1]), x.dtype)
    for first in range(0, matrix.rows, rows or 1):
        last = min(first + rows, matrix.rows)
        _add_rows(matrix, x, first, gathered[: last - first], total[: last - first])
        out[slice(first, last) if matrix.order is None else matrix.order[first:last]] = total[: last - first]


def _add_rows(
    matrix: Jagged, x: NDArray[np.generic], first: int, gathered: NDArray[np.generic], total: NDArray[np.generic]
) -> None:
    """total = rows [first, first + len(total)) of the ordered matrix, times x."""
    total[...] = 0
    for columns, values in zip(matrix.columns, matrix.values, strict=True):
        wanted = columns[first : first + len(total)]
        if not wanted.size:
            return
        part = gathered[: wanted.size]
        # mode="clip" lets numpy write into `out` without a buffer; the indices were checked before.
        np.take(x, wanted, axis=0, out=part, mode="clip")
        np.multiply(part, values[first : first + len(total)], out=part)
        np.add(total[: wanted.size], part, out=total[: wanted.size])
