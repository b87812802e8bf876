from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ProgramError
from engine.jagged import jagged_from_csr, multiply
from tests.engine.sparse_contract import Array, Matrix, SparseProductContract


class TestJagged(SparseProductContract):
    def multiply(self, matrix: Matrix, x: Array) -> Array:
        return multiply(jagged_from_csr(matrix.indptr, matrix.indices, matrix.values), x)


@pytest.mark.parametrize(
    ("indptr", "indices", "values"),
    [
        ([], [], []),
        ([0, 2], [0], [1.0]),
        ([1, 1], [0], [1.0]),
        ([0, 2, 1], [0], [1.0]),
        ([0, 1], [-1], [1.0]),
        ([0, 1], [0], [1.0, 2.0]),
    ],
)
def test_what_is_no_csr_matrix_is_refused(indptr: list[int], indices: list[int], values: list[float]) -> None:
    with pytest.raises(ProgramError, match="CSR"):
        jagged_from_csr(np.array(indptr, np.int32), np.array(indices, np.int32), np.array(values, np.float32))


def test_column_beyond_the_input_is_refused() -> None:
    matrix = jagged_from_csr(np.array([0, 1], np.int32), np.array([4], np.int32), np.ones(1, np.float32))
    with pytest.raises(ProgramError, match="expected at least 5 features, got 4"):
        multiply(matrix, np.ones((4, 2), np.float32))
