"""Ops that refuse an empty piece, divided by samples whose number the request chooses, fewer than ranks among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from client.verify import run_split
from partition import compile_model

Array = NDArray[np.float32]
RNG = np.random.default_rng(3)


def _array(*shape: int) -> Array:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def _model(nodes: list[onnx.NodeProto], shape: list[int | str], weights: dict[str, Array]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    arrays = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "guarded", [x], [y], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def lstm() -> onnx.ModelProto:
    """[n, 3, 8] -> [3, 2, n, 6] -> [n, 3, 2, 6]."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r"], ["s"], hidden_size=6, direction="bidirectional"),
        helper.make_node("Transpose", ["s"], ["y"], perm=[2, 0, 1, 3]),
    ]
    return _model(nodes, ["n", 3, 8], {"w": _array(2, 24, 8), "r": _array(2, 24, 6)})


def group_norm() -> onnx.ModelProto:
    """[n, 6, 5] -> [n, 6, 5]."""
    nodes = [helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=3)]
    return _model(nodes, ["n", 6, 5], {"s": _array(6), "b": _array(6)})


def _feeds(model: onnx.ModelProto, samples: int) -> dict[str, Any]:
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    return {"x": _array(samples, *sizes)}


def _assert_as_on_one_rank(model: onnx.ModelProto, samples: int, workers: int, strategy: str) -> None:
    feeds = _feeds(model, samples)
    expected = run_split(model, feeds, 1, "serial")["y"]
    np.testing.assert_allclose(run_split(model, feeds, workers, strategy)["y"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", ["batch", "row", "column", "tensor"])
@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("build", [lstm, group_norm])
def test_some_ranks_may_get_no_samples(build: Any, samples: int, strategy: str) -> None:
    _assert_as_on_one_rank(build(), samples, 3, strategy)


@pytest.mark.parametrize("strategy", ["pipeline", "batch=3,stage=2", "stage=2,row=3", "stage=2,tensor=3"])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("build", [lstm, group_norm])
def test_some_parts_and_turns_may_have_no_samples(build: Any, samples: int, strategy: str) -> None:
    _assert_as_on_one_rank(build(), samples, 6, strategy)


@pytest.mark.parametrize("build", [lstm, group_norm])
def test_samples_are_followed_to_the_end(build: Any, tmp_path: Path) -> None:
    manifest = compile_model(build(), "batch", 3, tmp_path).manifest
    assert manifest.info["replicated_ops"] == 0
    assert manifest.info["split_ops"] == len(build().graph.node)


def test_empty_batch_gives_empty_outputs_on_every_rank() -> None:
    model = lstm()
    got = run_split(model, _feeds(model, 0), 3, "row")["y"]
    assert got.shape == (0, 3, 2, 6)
