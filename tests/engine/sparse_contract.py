"""The contract of a sparse product, for any implementation of it: scipy's CSR product in float64 is the oracle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[Any]


@dataclass(frozen=True)
class Matrix:
    """CSR: indptr [rows + 1] int32, indices [nnz] int32, values [nnz] float32."""

    indptr: Array
    indices: Array
    values: Array
    cols: int

    def scipy(self) -> Any:
        shape = (self.indptr.size - 1, self.cols)
        return sparse.csr_array((self.values.astype(np.float64), self.indices, self.indptr), shape=shape)


def random_matrix(rng: np.random.Generator, rows: int, cols: int, degree: int | None = None) -> Matrix:
    """`degree` entries in each row, or a random number of them, in random order, duplicates excluded."""
    lengths = [min(cols, degree) if degree is not None else int(rng.integers(0, cols + 1)) for _ in range(rows)]
    indices = [rng.permutation(cols)[:length] for length in lengths]
    indptr = np.cumsum([0, *lengths]).astype(np.int32)
    flat = np.concatenate([*indices, []]).astype(np.int32)
    return Matrix(indptr, flat, rng.standard_normal(flat.size).astype(np.float32), cols)


class SparseProductContract(ABC):
    """Subclass it in a test file, and say how to multiply."""

    @abstractmethod
    def multiply(self, matrix: Matrix, x: Array) -> Array:
        """matrix @ x; x: [cols, live] float32."""

    @abstractmethod
    def some(self, matrix: Matrix, rows: Array, x: Array, values: Array) -> Array:
        """Write rows [rows] bool of matrix @ x to `values`; returns which samples they keep alive."""

    @pytest.mark.parametrize("live", [0, 1, 7, 77, 600])
    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_some_rows_have_the_bits_of_all_and_the_others_are_left_alone(self, live: int, share: float) -> None:
        rng = np.random.default_rng(live)
        matrix = random_matrix(rng, 40, 30)
        x = (rng.standard_normal((30, live)) * (rng.random(live) < 0.5)).astype(np.float32)
        rows = rng.random(40) < share
        values = np.full((40, live), 7, np.float32)
        alive = self.some(matrix, rows, x, values)
        whole = self.multiply(matrix, x)
        assert values[rows].tobytes() == whole[rows].tobytes()
        assert (values[~rows] == 7).all()
        np.testing.assert_array_equal(alive, (whole[rows] != 0).any(axis=0))

    @pytest.mark.parametrize("live", [0, 1, 7, 512, 1300])
    @pytest.mark.parametrize(
        ("rows", "cols", "degree"), [(1, 1, 1), (40, 64, 8), (300, 20, 3), (33, 50, None), (5, 9, 0)]
    )
    def test_product_is_that_of_scipy(self, rows: int, cols: int, degree: int | None, live: int) -> None:
        rng = np.random.default_rng(rows * 1000 + live)
        matrix = random_matrix(rng, rows, cols, degree)
        x = rng.standard_normal((cols, live)).astype(np.float32)
        product = self.multiply(matrix, x)
        assert product.dtype == np.float32
        np.testing.assert_allclose(product, matrix.scipy() @ x.astype(np.float64), rtol=1e-5, atol=1e-5)

    def test_matrix_without_rows_or_without_columns(self) -> None:
        none = np.zeros(0, np.int32)
        no_rows = Matrix(np.zeros(1, np.int32), none, none.astype(np.float32), 3)
        assert self.multiply(no_rows, np.ones((3, 4), np.float32)).shape == (0, 4)
        no_columns = Matrix(np.zeros(3, np.int32), none, none.astype(np.float32), 0)
        np.testing.assert_array_equal(self.multiply(no_columns, np.ones((0, 4), np.float32)), np.zeros((2, 4)))

    def test_column_of_the_product_depends_on_no_other_column(self) -> None:
        rng = np.random.default_rng(5)
        matrix = random_matrix(rng, 70, 90)
        x = rng.standard_normal((90, 1000)).astype(np.float32)
        some = np.sort(rng.permutation(1000)[:37])
        part = self.multiply(matrix, np.ascontiguousarray(x[:, some]))
        assert part.tobytes() == np.ascontiguousarray(self.multiply(matrix, x)[:, some]).tobytes()

    def test_terms_are_added_in_the_order_of_the_row(self) -> None:
        values = np.array([1e8, 1, -1e8, 1], np.float32)
        matrix = Matrix(np.array([0, 4], np.int32), np.arange(4, dtype=np.int32), values, 4)
        assert self.multiply(matrix, np.ones((4, 3), np.float32)).tolist() == [[1.0] * 3]

    def test_input_is_not_changed(self) -> None:
        rng = np.random.default_rng(1)
        x = rng.standard_normal((20, 600)).astype(np.float32)
        before = x.copy()
        self.multiply(random_matrix(rng, 10, 20), x)
        np.testing.assert_array_equal(x, before)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_nan_and_inf_spread_as_in_a_dense_product(self, bad: float) -> None:
        rng = np.random.default_rng(2)
        matrix = random_matrix(rng, 12, 10)
        x = rng.standard_normal((10, 600)).astype(np.float32)
        x[3, 5] = x[3, 570] = x[7, 570] = bad
        with np.errstate(invalid="ignore"):
            dense = matrix.scipy().toarray().astype(np.float32) @ x
        product = self.multiply(matrix, x)
        np.testing.assert_array_equal(np.isnan(product), np.isnan(dense))
        np.testing.assert_allclose(product, dense, rtol=1e-4, atol=1e-4)
