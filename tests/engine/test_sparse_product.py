from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.csr import Csr, csr
from engine.errors import ProgramError
from engine.native import NativeLibrary, native_library
from engine.native.library import ARCHITECTURES, cpu_features, library_file, load_library
from engine.sparse_layer import LEAST_WORK, SparseLayer, Tail, near_rows
from tests.engine.sparse_contract import Array, Matrix, SparseProductContract, random_matrix


def libraries() -> Iterator[NativeLibrary]:
    """Every build of the kernels in C that this machine can run; `make setup` makes them."""
    path = library_file(ARCHITECTURES[platform.machine()])
    yield load_library(path, "")
    if "avx2" in cpu_features():
        yield load_library(path, "_avx2")


def csr_of(matrix: Matrix) -> Csr:
    return csr(matrix.indptr, matrix.indices, matrix.values)


def layer(matrix: Matrix, library: NativeLibrary | None) -> SparseLayer:
    return SparseLayer(csr_of(matrix), library)


class TestNumpy(SparseProductContract):
    def multiply(self, matrix: Matrix, x: Array) -> Array:
        return layer(matrix, None)(x, Tail())[0]

    def some(self, matrix: Matrix, rows: Array, x: Array, values: Array) -> Array:
        return layer(matrix, None).some(rows, x, Tail(), values)


@pytest.mark.skipif(sys.platform != "linux", reason="built for Linux only")
class TestNative(SparseProductContract):
    def multiply(self, matrix: Matrix, x: Array) -> Array:
        products = [layer(matrix, library)(x, Tail())[0] for library in libraries()]
        assert len({product.tobytes() for product in products}) == 1
        return products[0]

    def some(self, matrix: Matrix, rows: Array, x: Array, values: Array) -> Array:
        outputs = [values.copy() for _ in libraries()]
        pairs = zip(libraries(), outputs, strict=True)
        alive = [layer(matrix, library).some(rows, x, Tail(), output) for library, output in pairs]
        assert len({output.tobytes() for output in outputs}) == len({kept.tobytes() for kept in alive}) == 1
        values[...] = outputs[0]
        return alive[0]

    @settings(deadline=None)
    @given(st.integers(0, 70), st.integers(1, 12), st.sampled_from(["float32", "float64"]), st.integers(0, 99))
    def test_layer_has_the_bits_of_the_numpy_layer(self, live: int, rows: int, dtype: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        matrix = random_matrix(rng, rows, 9)
        matrix = replace(matrix, values=matrix.values.astype(dtype))
        x = np.where(rng.random((9, live)) < 0.5, 0, rng.standard_normal((9, live))).astype(dtype)
        x[:, rng.random(live) < 0.3] = 0
        for tail in (Tail(), Tail(np.array([-0.3])), Tail(rng.standard_normal(rows).astype(dtype), 0.0, 0.5)):
            expected, alive = layer(matrix, None)(x, tail)
            for library in libraries():
                values, kept = layer(matrix, library)(x, tail)
                np.testing.assert_array_equal(values, expected)
                np.testing.assert_array_equal(kept, alive)
                assert values.dtype == expected.dtype
                some = rng.random(rows) < 0.5
                for chosen in (library, None):
                    part = np.zeros_like(expected)
                    layer(matrix, chosen).some(some, x, tail, part)
                    np.testing.assert_array_equal(part, np.where(some[:, None], expected, 0))

    @settings(deadline=None)
    @given(st.integers(0, 70), st.integers(0, 12), st.sampled_from(["float32", "float64"]), st.integers(0, 99))
    def test_narrow_forms_of_a_matrix_have_the_bits_of_the_wide_one(
        self, live: int, rows: int, dtype: str, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        given = random_matrix(rng, rows, 9)
        for shared in (False, True):
            wide = replace(given, values=np.full_like(given.values, 0.3) if shared else given.values)
            wide = replace(wide, values=wide.values.astype(dtype))
            narrow = replace(wide, indices=wide.indices.astype(np.uint16))
            if shared:
                narrow = replace(narrow, values=np.array([0.3], np.float32).astype(dtype))
            x = (rng.standard_normal((9, live)) * (rng.random(live) < 0.5)).astype(dtype)
            tail, some = Tail(np.array([-0.3]), 0.0, 0.5), rng.random(rows) < 0.5
            for library in (None, *libraries()):
                pair = [layer(form, library) for form in (wide, narrow)]
                for expected, got in zip(*(form(x, tail) for form in pair), strict=True):
                    np.testing.assert_array_equal(got, expected)
                parts = [np.zeros((rows, live), x.dtype) for _ in pair]
                for form, part in zip(pair, parts, strict=True):
                    form.some(some, x, tail, part)
                np.testing.assert_array_equal(parts[1], parts[0])
                np.testing.assert_array_equal(near_rows(pair[1].matrix), near_rows(pair[0].matrix))

    def test_columns_beyond_15_bits_are_read_where_they_are(self) -> None:
        indices = np.array([65535, 0, 32768], np.uint16)
        matrix = Matrix(np.array([0, 2, 3], np.int32), indices, np.ones(1, np.float32), 65536)
        x = np.zeros((65536, 9), np.float32)
        x[65535], x[32768] = 2, 5
        for library in (None, *libraries()):
            assert layer(matrix, library)(x, Tail())[0].tolist() == [[2.0] * 9, [5.0] * 9]

    @settings(deadline=None)
    @given(st.integers(0, 70), st.integers(0, 12), st.integers(2, 5), st.integers(0, 99))
    def test_several_threads_have_the_bits_of_one(self, live: int, rows: int, threads: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        matrix = random_matrix(rng, rows, 9)
        x = np.where(rng.random((9, live)) < 0.7, 0, rng.standard_normal((9, live))).astype(matrix.values.dtype)
        tail, some = Tail(rng.standard_normal(rows).astype(x.dtype), 0.0, 0.5), rng.random(rows) < 0.5
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("engine.sparse_layer.LEAST_WORK", 1)
            for library in libraries():
                one, many = (SparseLayer(csr_of(matrix), library, threads=count) for count in (1, threads))
                for expected, got in zip(one(x, tail), many(x, tail), strict=True):
                    np.testing.assert_array_equal(got, expected)
                parts = [np.zeros((rows, live), x.dtype) for _ in (one, many)]
                alive = [layer.some(some, x, tail, part) for layer, part in zip((one, many), parts, strict=True)]
                np.testing.assert_array_equal(parts[1], parts[0])
                np.testing.assert_array_equal(alive[1], alive[0])

    def test_threads_share_the_rows_evenly_and_only_where_it_is_much(self) -> None:
        matrix = random_matrix(np.random.default_rng(0), 4096, 512)
        for library in libraries():
            threaded = SparseLayer(csr_of(matrix), library, threads=3)
            live = 3 * (LEAST_WORK // matrix.values.size + 1)
            parts = threaded._parts(threaded._order, live)
            work = [np.diff(matrix.indptr)[part].sum() for part in parts]
            assert len(parts) == 3
            assert max(work) - min(work) <= 2 * np.diff(matrix.indptr).max()
            np.testing.assert_array_equal(np.concatenate(parts), threaded._order)
            assert len(threaded._parts(threaded._order, 1)) == 1

    def test_library_computes_finite_activations_of_the_weights_dtype_and_leaves_the_rest(self) -> None:
        matrix = random_matrix(np.random.default_rng(0), 3, 4)
        for library in libraries():
            refusing = replace(library, layer=dict.fromkeys(library.layer, _refuse))
            with pytest.raises(AssertionError, match="called"):
                layer(matrix, refusing)(np.ones((4, 2), np.float32), Tail())
            layer(matrix, refusing)(np.full((4, 2), np.nan, np.float32), Tail())
            layer(matrix, refusing)(np.ones((4, 2), np.float64), Tail())
            layer(matrix, refusing)(np.ones((4, 2), np.float16), Tail())

    def test_a_built_library_is_found(self) -> None:
        assert native_library() is not None


def _refuse(*_: object) -> None:
    raise AssertionError("called")


def test_missing_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert native_library.__wrapped__() is None


@pytest.mark.parametrize(
    ("indptr", "indices", "values"),
    [
        ([], [], []),
        ([0, 2], [0], [1.0]),
        ([1, 1], [0], [1.0]),
        ([0, 2, 1], [0], [1.0]),
        ([0, 1], [-1], [1.0]),
        ([0, 1], [0], [1.0, 2.0]),
        ([0, 2], [0, 1], []),
    ],
)
def test_what_is_no_csr_matrix_is_refused(indptr: list[int], indices: list[int], values: list[float]) -> None:
    with pytest.raises(ProgramError, match="CSR"):
        csr(np.array(indptr, np.int32), np.array(indices, np.int32), np.array(values, np.float32))


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint32, np.float32])
def test_columns_of_another_type_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(ProgramError, match="indices uint16 or int32, got int32 and"):
        csr(np.array([0, 1], np.int32), np.array([0], dtype), np.ones(1, np.float32))


@pytest.mark.parametrize("library", [None, native_library()], ids=["numpy", "native"])
def test_column_beyond_the_input_is_refused(library: NativeLibrary | None) -> None:
    matrix = Matrix(np.array([0, 1], np.int32), np.array([4], np.int32), np.ones(1, np.float32), 5)
    with pytest.raises(ProgramError, match="expected at least 5 features, got 4"):
        layer(matrix, library)(np.ones((4, 2), np.float32), Tail())
