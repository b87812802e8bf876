"""How much of an op each rank does."""

from __future__ import annotations

import onnx
import pytest

from partition.choices import Choice
from partition.frontend import load
from partition.graph import from_ir
from partition.normalize import normalize
from partition.placement import REPLICATE, ROOT, Shard
from partition.work import work_shares
from tests.partition import models


@pytest.mark.parametrize(
    ("choice", "shares"),
    [
        (Choice("split", (Shard(0),), (Shard(0),)), [1.0, 0.0, 0.0]),
        (Choice("split", (Shard(1),), (Shard(1),)), [3 / 8, 3 / 8, 2 / 8]),
        (Choice("single", (ROOT,), (ROOT,)), [1.0, 0.0, 0.0]),
        (Choice("replicate", (REPLICATE,), (REPLICATE,)), [1.0, 1.0, 1.0]),
    ],
)
def test_ranks_without_a_piece_have_nothing_to_do(choice: Choice, shares: list[float]) -> None:
    proto = models.model([onnx.helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 8]}, ["y"])
    source = load(proto)
    graph = from_ir(normalize(source.model), source.sparse, source.maps)
    assert work_shares(graph, graph.ops[0], choice, 3) == shares
