"""Large graphs that the search is measured on: of what makes it hard, with narrow layers, so that building is quick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from zoo.registry import get_card

_OPS_PER_LAYER = 34  # of the encoder, about
_WIDTH = 16
Weights = dict[str, NDArray[np.float32]]


def encoder(ops: int, folder: Path) -> Path:
    """The zoo's encoder with many layers."""
    card = get_card("encoder")
    given = {"layers": max(1, ops // _OPS_PER_LAYER), "width": 64, "heads": 4, "vocabulary": 512}
    return card.build(card.parse(given), folder)


def resnet(ops: int, folder: Path) -> Path:
    """Two convolutions and what skips them, again and again."""
    nodes: list[onnx.NodeProto] = []
    weights: Weights = {}
    x = "x"
    for i in range(ops // 5):
        h = _conv(nodes, weights, f"a{i}", x, _WIDTH)
        h = _conv(nodes, weights, f"b{i}", _op(nodes, "Relu", f"r{i}", h), _WIDTH)
        x = _op(nodes, "Relu", f"s{i}", _op(nodes, "Add", f"t{i}", h, x))
    return _written(nodes, weights, ["n", _WIDTH, 8, 8], x, folder)


def densenet(ops: int, folder: Path) -> Path:
    """Every layer reads all layers of its block of 16: many values are alive at once."""
    nodes: list[onnx.NodeProto] = []
    weights: Weights = {}
    known = ["x"]
    for i in range(ops // 3):
        joined = _op(nodes, "Concat", f"c{i}", *known, axis=1)
        made = _conv(nodes, weights, f"k{i}", joined, _WIDTH, _WIDTH * len(known))
        known = [*known, _op(nodes, "Relu", f"r{i}", made)] if len(known) < 16 else [_op(nodes, "Relu", f"r{i}", made)]
    return _written(nodes, weights, ["n", _WIDTH, 8, 8], known[-1], folder)


def rnn(ops: int, folder: Path) -> Path:
    """A recurrence written out: all steps read the same two weights."""
    nodes: list[onnx.NodeProto] = []
    steps = ops // 5
    weights: Weights = {name: _random(64, 64) for name in ("w", "u")} | {"b": _random(64)}
    parts = [f"x{i}" for i in range(steps)]
    nodes.append(helper.make_node("Split", ["x"], parts, axis=1, num_outputs=steps))
    h = _op(nodes, "MatMul", "h", parts[0], "w")
    for i, part in enumerate(parts[1:]):
        sums = _op(
            nodes, "Add", f"s{i}", _op(nodes, "MatMul", f"m{i}", part, "w"), _op(nodes, "MatMul", f"k{i}", h, "u")
        )
        h = _op(nodes, "Tanh", f"h{i}", _op(nodes, "Add", f"b{i}", sums, "b"))
    return _written(nodes, weights, ["n", steps * 64], h, folder)


def chain(ops: int, folder: Path) -> Path:
    """One op after another, of two kinds, without weights to speak of."""
    nodes: list[onnx.NodeProto] = []
    x = "x"
    for i in range(ops):
        x = _op(nodes, "Add", f"a{i}", x, "b") if i % 2 else _op(nodes, "Relu", f"r{i}", x)
    return _written(nodes, {"b": _random(64)}, ["n", 64], x, folder)


def mlp(ops: int, folder: Path) -> Path:
    """Residual layers of 64 neurons, which take 500 weights in turns."""
    nodes: list[onnx.NodeProto] = []
    weights: Weights = {}
    x = "x"
    for i in range(ops // 4):
        weights[f"w{i % 500}"] = _random(64, 64)
        h = _op(nodes, "Relu", f"r{i}", _op(nodes, "MatMul", f"m{i}", x, f"w{i % 500}"))
        x = _op(nodes, "Relu", f"s{i}", _op(nodes, "Add", f"t{i}", h, x))
    return _written(nodes, weights, ["n", 64], x, folder)


DEEP: dict[str, Callable[[int, Path], Path]] = {"chain": chain, "mlp": mlp}
GRAPHS: dict[str, Callable[[int, Path], Path]] = {
    "encoder": encoder,
    "resnet": resnet,
    "densenet": densenet,
    "rnn": rnn,
}


def _op(nodes: list[onnx.NodeProto], kind: str, name: str, *inputs: str, **attributes: Any) -> str:
    nodes.append(helper.make_node(kind, list(inputs), [f"{name}_out"], name=name, **attributes))
    return f"{name}_out"


def _conv(nodes: list[onnx.NodeProto], weights: Weights, name: str, x: str, out: int, given: int = _WIDTH) -> str:
    weights[f"{name}_w"] = _random(out, given, 1, 1)
    return _op(nodes, "Conv", name, x, f"{name}_w")


def _random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(list(shape)).standard_normal(shape, np.float32) / np.float32(16)


def _written(
    nodes: list[onnx.NodeProto], weights: Weights, dims: Sequence[int | str], output: str, folder: Path
) -> Path:
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(dims))
    result = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "large", [given], [result], stored)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path
