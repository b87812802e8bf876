"""How much of an op each rank does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from partition.choices import Choice
from partition.frontend import load
from partition.graph import Graph, from_ir
from partition.normalize import normalize
from partition.placement import REPLICATE, ROOT, Shard
from partition.work import all_work, work_shares
from tests.partition import blocks, models


def graph_of(proto: onnx.ModelProto) -> Graph:
    """As the compiler reads it."""
    source = load(proto)
    return from_ir(normalize(source.model), source.sparse, source.maps)


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
    graph = graph_of(proto)
    assert work_shares(graph, graph.ops[0], choice, 3) == shares


def work_of(op: str, inputs: dict[str, models.Dims], weights: dict[str, models.Array], **attributes: Any) -> int:
    """Of one op that reads these; the last one where it is spelled out in several."""
    node = helper.make_node(op, [*inputs, *weights], ["y"], **attributes)
    proto = models.model([node], inputs, ["y"], weights, opset=23)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return all_work(graph_of(proto))[-1]


def recurrent_work(op: str, gates: int, directions: int, **attributes: Any) -> int:
    """Of a cell with 7 hidden units over 6 steps of 2 samples with 5 features."""
    weights = {"w": models.floats(directions, 7 * gates, 5), "r": models.floats(directions, 7 * gates, 7)}
    return work_of(op, {"x": [6, 2, 5]}, weights, hidden_size=7, **attributes)


_IMAGE: dict[str, models.Dims] = {"x": [2, 6, 10, 10]}
_TOKENS: dict[str, models.Dims] = {"q": [2, 3, 12], "k": [2, 5, 12], "v": [2, 5, 12]}
_WORD: dict[str, models.Dims] = {"x": [4, 5]}
WORK: dict[str, tuple[Callable[[], int], int]] = {
    "matmul": (partial(work_of, "MatMul", {"x": [3, 5, 7]}, {"w": models.floats(7, 9)}), 3 * 5 * 7 * 9),
    "experts": (partial(work_of, "MatMul", {"x": [5, 7]}, {"w": models.floats(4, 7, 9)}), 4 * 5 * 7 * 9),
    "conv": (partial(work_of, "Conv", _IMAGE, {"w": models.floats(4, 6, 3, 3)}), 2 * 4 * 8 * 8 * 6 * 9),
    "strided": (partial(work_of, "Conv", _IMAGE, {"w": models.floats(4, 6, 1, 1)}, strides=[2, 2]), 2 * 4 * 5 * 5 * 6),
    "grouped": (partial(work_of, "Conv", _IMAGE, {"w": models.floats(4, 3, 3, 3)}, group=2), 2 * 4 * 8 * 8 * 3 * 9),
    "depthwise": (partial(work_of, "Conv", _IMAGE, {"w": models.floats(6, 1, 3, 3)}, group=6), 2 * 6 * 8 * 8 * 9),
    "heads": (partial(work_of, "MultiHeadAttention", _TOKENS, {}, num_heads=3, domain="com.microsoft"), 2 * 3 * 5 * 12),
    "lstm": (partial(recurrent_work, "LSTM", gates=4, directions=1), 6 * 2 * (4 * 7) * (5 + 7)),
    "gru": (partial(recurrent_work, "GRU", gates=3, directions=2, direction="bidirectional"), 6 * 2 * 2 * 21 * (5 + 7)),
    "rnn": (partial(recurrent_work, "RNN", gates=1, directions=1, direction="reverse"), 6 * 2 * 7 * (5 + 7)),
    "table": (partial(work_of, "Gather", {}, {"w": models.floats(900, 7), "i": np.array([[1, 2, 3]])}), 3 * 7),
    "concat": (partial(work_of, "Concat", {"x": [4, 5], "z": [4, 8]}, {}, axis=1), 4 * 13),
    "softmax": (partial(work_of, "Softmax", _WORD, {}), 4 * 5),
    "add": (partial(work_of, "Add", _WORD, {"b": models.floats(5)}), 4 * 5),
    "heads apart": (partial(work_of, "Reshape", {"x": [2, 3, 12]}, {"s": np.array([2, 3, 4, 3])}), 2 * 3 * 12),
    "other sizes": (partial(work_of, "Reshape", {"x": [4, 6]}, {"s": np.array([3, 8])}), 24),
}


@pytest.mark.parametrize("name", WORK)
def test_work_is_multiplications_or_elements(name: str) -> None:
    count, expected = WORK[name]
    assert count() == expected


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2)])
def test_attention_as_one_op_works_as_much_as_written_out(heads: int, groups: int) -> None:
    """Up to what is added, repeated and scaled."""
    apart, *ops = (sum(all_work(graph_of(blocks.grouped(heads, groups, op=op)))) for op in blocks.GROUPED)
    assert all(0.7 * apart <= work <= apart for work in ops), (apart, ops)
