"""The search remembers what turns of a kind lead to; what it chooses does not depend on that."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from partition import search
from partition.frontend import load
from partition.graph import from_ir
from partition.normalize import normalize
from partition.planning import make_plan
from tests.partition import blocks, models

_OPS = ("Add", "MatMul", "Mul", "Relu", "Softmax", "Transpose")


def repetitive(seed: int, length: int = 40) -> onnx.ModelProto:
    """A chain of few kinds of ops on squares, of which some read a value from further back, too."""
    random = np.random.default_rng(seed)
    made, nodes, weights = ["x"], [], {}
    for i in range(length):
        op = str(random.choice(_OPS))
        inputs = [made[-1]]
        if op in ("Add", "Mul"):
            inputs.append(made[-min(len(made), int(random.integers(1, 4)))])
        elif op == "MatMul":
            inputs.append(f"w{i}")
            weights[f"w{i}"] = models.floats(64, 64, seed=i)
        nodes.append(helper.make_node(op, inputs, [f"y{i}"]))
        made.append(f"y{i}")
    return models.model(nodes, {"x": [64, 64]}, [made[-1]], weights)


@pytest.mark.parametrize("strategy", ["row", "tensor", "batch"])
@pytest.mark.parametrize("width", [1, 24])
def test_plans_are_the_same_where_nothing_is_remembered(
    width: int, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A narrow beam makes up for nothing."""
    monkeypatch.setattr(search, "BEAM_WIDTH", width)
    monkeypatch.setattr(search, "_NARROWEST", 1)
    for proto in (*map(repetitive, range(8)), blocks.encoder(layers=2), blocks.grouped(6, 2), models.mobile_cnn()):
        source = load(proto)
        graph = from_ir(normalize(source.model), source.sparse, source.maps)
        with monkeypatch.context() as patch:
            patch.setattr(search, "_KEPT_OUTCOMES", -1)
            plan = make_plan(graph, strategy, 4)
        assert make_plan(graph, strategy, 4) == plan
