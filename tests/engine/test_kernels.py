from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from channels.tensors import LiveTensor, Tensor
from engine.errors import KernelError, ProgramError
from engine.kernels import KernelCall, find_kernel, kernel, kernel_names
from engine.program import Attribute, Run
from tests.engine.fleet import loaded_rank
from tests.engine.live import dense_of, live, random_sparse_activation
from tests.engine.sparse_contract import Matrix, random_matrix


def _call(kernel: str, x: Tensor, weights: dict[str, NDArray[Any]] | None = None, **attributes: Attribute) -> Tensor:
    run = Run(0, kernel, ("x",), ("y",), weights=tuple(weights or ()), attributes=attributes)
    (output,) = find_kernel(kernel)(KernelCall(run, [x], loaded_rank([run], weights=weights)))
    result: Tensor = output
    return result


def _csr(matrix: Matrix) -> dict[str, NDArray[Any]]:
    return {"indptr": matrix.indptr, "indices": matrix.indices, "values": matrix.values}


def _layer(matrix: Matrix, x: NDArray[Any], bias: Any, low: float = -np.inf, high: float = np.inf) -> NDArray[Any]:
    """[samples, rows] of the dense layer, in float64."""
    with np.errstate(invalid="ignore"):
        dense: NDArray[Any] = np.clip(x.astype(np.float64) @ matrix.scipy().toarray().T + bias, low, high)
    return dense


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12), st.integers(0, 9), st.integers(1, 9), st.booleans(), st.integers(0, 999))
def test_sparse_layer_is_the_dense_layer(samples: int, rows: int, cols: int, preserving: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, x = random_matrix(rng, rows, cols), random_sparse_activation(rng, samples, cols)
    bias = rng.standard_normal(rows).astype(np.float32)
    if preserving:
        bias = -np.abs(bias)
    weights = {**_csr(matrix), "bias": bias}
    y = _call("sparse_layer", live(x), weights, clip_min=0.0, clip_max=0.75, zero_preserving=preserving)
    expected = _layer(matrix, x, bias, 0, 0.75)
    np.testing.assert_allclose(dense_of(y), expected, rtol=1e-5, atol=1e-6)
    assert isinstance(y, LiveTensor)
    assert y.samples.size == np.count_nonzero(dense_of(y).any(axis=1))


def test_layer_that_is_not_zero_preserving_brings_dead_samples_back() -> None:
    rng = np.random.default_rng(0)
    matrix = random_matrix(rng, 4, 6)
    x = np.zeros((5, 6), np.float32)
    x[2] = 1
    y = _call("sparse_layer", live(x), _csr(matrix), bias=0.5)
    np.testing.assert_allclose(dense_of(y), _layer(matrix, x, 0.5), rtol=1e-5)
    assert dense_of(y).any(axis=1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sample_with_nan_or_inf_is_live_and_computed_as_in_the_dense_layer(bad: float) -> None:
    rng = np.random.default_rng(0)
    matrix = random_matrix(rng, 5, 6, 3)
    x = np.zeros((3, 6), np.float32)
    x[1, 2] = bad
    y = _call("sparse_layer", live(x), _csr(matrix), bias=-0.5, clip_min=0.0, clip_max=32.0, zero_preserving=True)
    assert isinstance(y, LiveTensor)
    assert y.samples.tolist() == [1]
    np.testing.assert_array_equal(dense_of(y), _layer(matrix, x, -0.5, 0, 32).astype(np.float32))


def test_partial_products_and_tail_make_up_the_layer() -> None:
    rng = np.random.default_rng(3)
    dense, x = rng.standard_normal((7, 8)).astype(np.float32), random_sparse_activation(rng, 9, 8)
    bias = -rng.random(7).astype(np.float32)
    halves = []
    for columns in (slice(0, 3), slice(3, 8)):
        part = np.ascontiguousarray(dense[:, columns])
        indptr = (np.arange(8) * part.shape[1]).astype(np.int32)
        weights = {"p": indptr, "i": np.tile(np.arange(part.shape[1], dtype=np.int32), 7), "v": part.reshape(-1)}
        halves.append(dense_of(_call("sparse_matmul", live(x[:, columns]), weights)))
    total = live(halves[0] + halves[1])
    before = total.values.copy()
    y = _call("sparse_tail", total, {"bias": bias}, clip_min=0.0, zero_preserving=True)
    np.testing.assert_allclose(dense_of(y), np.maximum(x @ dense.T + bias, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(total.values, before)


def test_tail_that_is_not_zero_preserving_brings_dead_samples_back() -> None:
    y = _call("sparse_tail", live(np.array([[0, 0], [1, 2]], np.float32)), {"b": np.array([1, -2], np.float32)})
    np.testing.assert_array_equal(dense_of(y), [[1, -2], [2, 0]])


def test_to_live_and_to_dense_undo_each_other() -> None:
    x = random_sparse_activation(np.random.default_rng(0), 20, 6)
    x[3, 2] = np.nan
    y = _call("to_live", x)
    assert isinstance(y, LiveTensor)
    assert y.samples.tolist() == np.flatnonzero(x.any(axis=1)).tolist()
    np.testing.assert_array_equal(dense_of(y), x)
    np.testing.assert_array_equal(_call("to_dense", y), x)


def test_prepared_matrix_is_built_once() -> None:
    matrix = random_matrix(np.random.default_rng(0), 3, 3)
    run = Run(0, "sparse_matmul", ("x",), ("y",), weights=("indptr", "indices", "values"))
    loaded = loaded_rank([run], weights=_csr(matrix))
    built: list[object] = []
    for _ in range(2):
        find_kernel("sparse_matmul")(KernelCall(run, [live(np.ones((2, 3), np.float32))], loaded))
        built.append(loaded.prepared(("sparse", *run.weights), object))
    assert built[0] is built[1]


def test_kernels_are_found_by_the_name_of_their_file() -> None:
    assert kernel_names() == ["onnx", "sparse_layer", "sparse_matmul", "sparse_tail", "to_dense", "to_live"]
    assert all(callable(find_kernel(name)) for name in kernel_names())


@pytest.mark.parametrize("name", ["", "registry", "os", "..errors", "sparse_tools", "Onnx"])
def test_unknown_kernel_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ProgramError, match=r"expected one of .*'sparse_layer'"):
        find_kernel(name)


def test_kernel_registered_twice_is_refused() -> None:
    find_kernel("to_live")
    with pytest.raises(ValueError, match="registered twice"):
        kernel("to_live")(lambda call: call.inputs)


@pytest.mark.parametrize(
    ("name", "x", "weights", "message"),
    [
        ("to_live", np.ones(3), {}, r"expected \[samples, features\], got shape \(3,\)"),
        ("to_live", live(np.ones((1, 1))), {}, "expected a dense tensor, got a live one"),
        ("to_dense", np.ones((1, 1)), {}, "expected a live tensor, got a dense one"),
        ("sparse_tail", live(np.ones((2, 3))), {"b": np.ones(2)}, r"expected a bias of shape \(3,\), got \(2,\)"),
    ],
)
def test_kernel_refuses_inputs_of_another_kind(
    name: str, x: Tensor, weights: dict[str, NDArray[Any]], message: str
) -> None:
    with pytest.raises(KernelError, match=message):
        _call(name, x, weights)


def test_missing_weight_and_wrong_attribute_are_refused() -> None:
    with pytest.raises(ProgramError, match="expected more than 0 weights"):
        _call("sparse_matmul", live(np.ones((1, 1))))
    with pytest.raises(ProgramError, match="'clip_min': expected a number, got 'zero'"):
        _call("sparse_tail", live(np.ones((1, 1))), clip_min="zero")
