"""A sparse matrix as it lies in a shard: compressed rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from engine.errors import ProgramError

Columns = NDArray[np.uint16] | NDArray[np.int32]
INDEX_TYPES = (np.dtype(np.uint16), np.dtype(np.int32))


@dataclass(frozen=True, eq=False)
class Csr:
    """A matrix [rows, cols] by compressed rows, checked: `csr` makes it.

    indptr:  [rows + 1] int32, ascending from 0 to nnz.
    indices: [nnz] uint16, or int32 >= 0.
    values:  [nnz], or [1] for all entries.
    highest: highest column that is read; -1 if none.
    """

    indptr: NDArray[np.int32]
    indices: Columns
    values: NDArray[np.generic]
    highest: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.indptr.size - 1

    @property
    def entries(self) -> int:
        """Number of stored entries, nnz."""
        return self.indices.size

    @property
    def value_of_each(self) -> NDArray[np.generic]:
        """[nnz], read-only."""
        return np.broadcast_to(self.values, self.indices.shape)

    def check_input(self, x: NDArray[np.generic]) -> None:
        """Refuse an input [cols, live] that has fewer rows than the matrix reads.

        Raises:
            ProgramError: naming both.
        """
        if self.highest >= x.shape[0]:
            raise ProgramError(f"sparse product: expected at least {self.highest + 1} features, got {x.shape[0]}")


def rows_of(matrix: Csr, rows: NDArray[np.integer]) -> Csr:
    """Some rows of a matrix [rows, cols], as one of its own."""
    lengths = np.diff(matrix.indptr)[rows]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    places = np.repeat(matrix.indptr[:-1][rows] - ends[:-1], lengths) + np.arange(ends[-1])
    values = matrix.values if matrix.values.size == 1 else matrix.values[places]
    return Csr(ends, matrix.indices[places], values, matrix.highest)


def csr(indptr: NDArray[np.generic], indices: NDArray[np.generic], values: NDArray[np.generic]) -> Csr:
    """The matrix of three tensors of a shard.

    Raises:
        ProgramError: if they are no CSR matrix.
    """
    if indptr.ndim != 1 or indices.ndim != 1 or values.shape not in (indices.shape, (1,)) or indptr.size < 1:
        raise ProgramError(f"CSR: got indptr {indptr.shape}, indices {indices.shape}, values {values.shape}")
    if indptr.dtype != np.int32 or indices.dtype not in INDEX_TYPES:
        raise ProgramError(
            f"CSR: expected indptr int32 and indices uint16 or int32, got {indptr.dtype} and {indices.dtype}"
        )
    ends, columns = indptr.astype(np.int32, copy=False), cast("Columns", indices)
    if ends[0] != 0 or ends[-1] != columns.size or (np.diff(ends) < 0).any() or columns.min(initial=0) < 0:
        raise ProgramError(f"CSR: expected indptr from 0 to {columns.size}, ascending, and indices >= 0")
    return Csr(ends, columns, values, int(columns.max()) if columns.size else -1)
