"""Ops that are spelled out in others, so that their pieces can be: Resize to sizes, DynamicQuantizeLinear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from client.verify import run_split
from partition import compile_model
from partition.scales import factors

RNG = np.random.default_rng(5)


def _model(
    nodes: list[onnx.NodeProto], shape: list[int | str], weights: dict[str, NDArray[Any]], version: int = 18
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    arrays = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "spelled", [x], [y], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=10)


def _whole(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


def resize(version: int, **attributes: Any) -> onnx.ModelProto:
    """As exporters write it: sizes from the input's own shape and two numbers."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "two", "zero"], ["first"]),
        helper.make_node("Concat", ["first", "image"], ["sizes"], axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes),
    ]
    weights = {"zero": np.array([0]), "two": np.array([2]), "image": np.array([13, 5])}
    return _model(nodes, ["n", 3, 7, 6], weights, version)


@pytest.mark.parametrize("version", [13, 18])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("how", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
def test_resize_to_sizes_follows_the_samples(mode: str, how: str, version: int, tmp_path: Path) -> None:
    model = resize(version, mode=mode, coordinate_transformation_mode=how)
    manifest = compile_model(model, "batch", 3, tmp_path).manifest
    assert (manifest.info["split_ops"], manifest.info["replicated_ops"]) == (1, 0)
    for samples in (1, 4):
        x = RNG.uniform(-1, 1, (samples, 3, 7, 6)).astype(np.float32)
        got = run_split(model, {"x": x}, 3, "batch")["y"]
        np.testing.assert_allclose(got, _whole(model, x), rtol=1e-5, atol=1e-6)


def test_scales_are_taken_only_where_they_give_the_sizes() -> None:
    assert [float(scale) for scale in factors(["n", 3, 7], ["n", 3, 14]) or ()] == [1, 1, 2]
    assert factors(["n", 7], ["m", 7]) is None
    wrong = [
        (a, b) for a in range(1, 200) for b in range(1, 200) if int(np.float32(b) / np.float32(a) * np.float32(a)) != b
    ]
    assert wrong
    assert all(factors([a], [b]) is None for a, b in wrong)


def quantized(shape: list[int | str], width: int = 12) -> onnx.ModelProto:
    """A layer, DynamicQuantizeLinear and MatMulInteger, as onnxruntime's quantiser writes them."""
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["h"]),
        helper.make_node("DynamicQuantizeLinear", ["h"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["sw"]),
        helper.make_node("Mul", ["f", "sw"], ["y"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "v": RNG.integers(0, 2, (12, width)).astype(np.float32),
        "w": RNG.integers(-99, 99, (width, 6)).astype(np.int8),
        "wz": np.array(0, np.int8),
        "ws": np.array(0.02, np.float32),
    }
    return _model(nodes, shape, weights)


@pytest.mark.parametrize("strategy", ["row", "column", "tensor", "auto"])
@pytest.mark.parametrize("shape", [["n", 12], [4, 12]])
@pytest.mark.parametrize("low", [-3.0, 0.0, 2.0])
def test_dynamically_quantised_product_is_divided(low: float, shape: list[int | str], strategy: str) -> None:
    model = quantized(shape)
    x = RNG.integers(int(low), 4, (4, 12)).astype(np.float32)  # sums are exact in any order
    np.testing.assert_allclose(run_split(model, {"x": x}, 3, strategy)["y"], _whole(model, x), rtol=1e-5, atol=1e-5)


def test_range_of_zeros_has_the_scale_of_onnxruntime() -> None:
    model = quantized(["n", 12])
    x = np.zeros((3, 12), np.float32)
    np.testing.assert_array_equal(run_split(model, {"x": x}, 2, "column")["y"], _whole(model, x))


def test_range_is_found_from_pieces(tmp_path: Path) -> None:
    manifest = compile_model(quantized([4, 12], width=5000), "column", 3, tmp_path).manifest
    assert all(rank.weight_bytes <= 1.1 * manifest.model_weight_bytes / 3 for rank in manifest.ranks)
    assert int(manifest.info["split_ops"]) >= 5  # two products, the two ends of the range, the quantised pieces
