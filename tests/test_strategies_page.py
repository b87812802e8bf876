"""What docs/strategies.md says of each op today, held against the compiler: divided, or kept whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from partition import compile_model
from tests.documents import ROOT

PAGE = (ROOT / "docs" / "strategies.md").read_text()
Model = onnx.ModelProto


def _model(
    op: str, inputs: str, shape: list[int | str], weights: dict[str, tuple[int, ...]], **attributes: Any
) -> Model:
    """One op on `x` (of indices, for Gather) and weights, by name in `inputs`."""
    x = helper.make_tensor_value_info("x", TensorProto.INT64 if op == "Gather" else TensorProto.FLOAT, shape)
    y = helper.make_empty_tensor_value_info("y")
    arrays = [numpy_helper.from_array(_weight(size), name) for name, size in weights.items()]
    node = helper.make_node(op, inputs.split(), ["y"], **attributes)
    graph = helper.make_graph([node], op, [x], [y], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _weight(size: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(len(size)).uniform(0.5, 1, size).astype(np.float32)


CONV = _model("Conv", "x w", ["n", 4, 8, 8], {"w": (6, 4, 3, 3)})
DEPTHWISE = _model("Conv", "x w", ["n", 6, 8, 8], {"w": (6, 1, 3, 3)}, group=6)
LSTM = _model("LSTM", "x w r", [3, "n", 8], {"w": (1, 24, 8), "r": (1, 24, 6)}, hidden_size=6)
_BOTH: dict[str, tuple[int, ...]] = {"w": (2, 24, 8), "r": (2, 24, 6)}
BIDIRECTIONAL = _model("LSTM", "x w r", [3, "n", 8], _BOTH, hidden_size=6, direction="bidirectional")
NORM = _model("BatchNormalization", "x s b m v", ["n", 6], dict.fromkeys("sbmv", (6,)))
CASES = {
    "MatMul, weight on the right": _model("MatMul", "x w", ["n", 8], {"w": (8, 6)}),
    "MatMul, weight on the left": _model("MatMul", "w x", [8, 5], {"w": (6, 8)}),
    "MatMul, stacked experts": _model("MatMul", "x w", [4, "n", 8], {"w": (4, 8, 6)}),
    "Gemm (float, opset 7 or newer)": _model("Gemm", "x w b", ["n", 8], {"w": (6, 8), "b": (6,)}, transB=1),
    "Conv": CONV,
    "Depthwise Conv": DEPTHWISE,
    "ConvTranspose": _model("ConvTranspose", "x w", ["n", 4, 8, 8], {"w": (4, 6, 3, 3)}),
    "BatchNormalization": NORM,
    "Embedding (Gather on axis 0)": _model("Gather", "w x", ["n"], {"w": (10, 16)}),
    "LSTM, GRU, RNN, bidirectional": BIDIRECTIONAL,
    "LSTM, GRU, RNN, one direction": LSTM,
}
SAYS = {"both": {"row", "column"}, "`row` only": {"row"}, "neither": set[str]()}


def divided_under(label: str) -> set[str]:
    """The strategies that divide the op of this row, by the page's last column."""
    (row,) = re.findall(rf"^\| {re.escape(label)} \|(.*)\|$", PAGE, re.MULTILINE)
    today = row.split("|")[-1].strip()
    return next(strategies for words, strategies in SAYS.items() if today.startswith(words))


def is_divided(model: Model, strategy: str, folder: Path) -> bool:
    """Whether a rank other than 0 holds a part of the weights, and none holds them all."""
    manifest = compile_model(model, strategy, 2, folder).manifest
    weights = [rank.weight_bytes for rank in manifest.ranks]
    return min(weights) > 0 and max(weights) < manifest.model_weight_bytes


@pytest.mark.parametrize("strategy", ["row", "column"])
@pytest.mark.parametrize("label", list(CASES))
def test_an_op_is_divided_where_the_page_says_so(label: str, strategy: str, tmp_path: Path) -> None:
    assert is_divided(CASES[label], strategy, tmp_path) is (strategy in divided_under(label))


@pytest.mark.parametrize("strategy", ["row", "column"])
def test_the_bias_of_a_divided_gemm_is_held_once(strategy: str, tmp_path: Path) -> None:
    manifest = compile_model(CASES["Gemm (float, opset 7 or newer)"], strategy, 2, tmp_path).manifest
    assert sum(rank.weight_bytes for rank in manifest.ranks) == manifest.model_weight_bytes
