"""Targets of Reshape and Expand, written so that each rank gets its own sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import helper

from client.verify import reference, run_split
from partition import Options
from partition.compile import prepare
from partition.reshapes import Aligned, aligned
from tests.partition.models import floats, model


@pytest.mark.parametrize(
    ("source", "result", "expected"),
    [
        (["b", "s", 64], ["b", "s", 8, 8], Aligned((), (0, 0, 8, 8), ())),
        (["b", "s", 8, 8], ["b", "s", 64], Aligned((), (0, 0, 64), ())),
        (["b", 8, 2, "s", 16], ["b", 16, "s", 16], Aligned((), (0, 16, 1, 0, 0), (2,))),
        (["b", 16, "s"], ["b", 8, 2, "s"], Aligned((2,), (0, 8, 2, 0), ())),
        ([2, 3, "s", 4, 6, "t"], [6, "s", 24, "t"], Aligned((), (6, 1, 0, 24, 1, 0), (1, 4))),
        (["b", 4], ["b", 1, 4], Aligned((), (0, 1, 4), ())),
        (["b", 1, 4], ["b", 4], Aligned((), (0, 4), ())),
        (["n", "m"], ["!0", 4], Aligned((), (-1, 4), ())),
        (["n"], ["a", "b"], None),
        ([4, 6], [6, 4], Aligned((), (6, 4), ())),
        ([], [1], Aligned((), (1,), ())),
    ],
)
def test_sizes_are_copied_in_their_places(
    source: Sequence[int | str], result: Sequence[int | str], expected: Aligned | None
) -> None:
    assert aligned(source, result) == expected


def repeated(batch: int | str) -> onnx.ModelProto:
    """Key heads repeated for their queries, as exporters write it: every target computed from Shape ops."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["k"]),
        helper.make_node("Shape", ["k"], ["all"]),
        helper.make_node("Gather", ["all", "first_two"], ["bs"]),
        helper.make_node("Concat", ["bs", "heads"], ["by_heads"], axis=0),
        helper.make_node("Reshape", ["k", "by_heads"], ["split"], allowzero=1),
        helper.make_node("Unsqueeze", ["split", "three"], ["open"]),
        helper.make_node("Concat", ["bs", "wide"], ["widened"], axis=0),
        helper.make_node("Expand", ["open", "widened"], ["many"]),
        helper.make_node("Concat", ["bs", "all_heads"], ["merged"], axis=0),
        helper.make_node("Reshape", ["many", "merged"], ["flat"]),
        helper.make_node("MatMul", ["flat", "v"], ["y"]),
    ]
    numbers = {"first_two": [0, 1], "heads": [4, 6], "three": [3], "wide": [4, 2, 6], "all_heads": [48]}
    weights = {name: np.array(value) for name, value in numbers.items()}
    return model(nodes, {"x": [batch, "s", 8]}, ["y"], {**weights, "w": floats(8, 24), "v": floats(48, 5)})


@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
@pytest.mark.parametrize("shape", [(2, 3), (1, 5), (5, 1)])
def test_computed_targets_answer_requests_of_several_sizes(shape: tuple[int, int], strategy: str) -> None:
    proto, inputs = repeated("b"), {"x": floats(*shape, 8)}
    got = run_split(proto, inputs, 3, strategy)["y"]
    np.testing.assert_allclose(got, reference(proto, inputs)["y"], rtol=1e-4, atol=1e-5)


def test_nothing_is_left_of_the_ops_that_computed_targets() -> None:
    ops = [op.proto.op_type for op in prepare(repeated("b"), Options()).graph.ops]
    assert ops == ["MatMul", "Reshape", "Unsqueeze", "Expand", "Reshape", "MatMul"]


def test_part_with_no_samples_is_reshaped() -> None:
    proto = repeated("b")
    got = run_split(proto, {"x": floats(1, 4, 8)}, 4, "batch")["y"]
    assert got.shape == (1, 4, 5)


def test_sizes_that_a_graph_computes_keep_their_names_though_some_list_is_of_unknown_length() -> None:
    """A mask from Range, beside heads whose target is computed: neither hides what is known of the other."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=2),
        helper.make_node("Concat", ["rows", "heads"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["split"]),
        helper.make_node("Shape", ["x"], ["length"], start=1, end=2),
        helper.make_node("Squeeze", ["length", "zeros"], ["stop"]),
        helper.make_node("Range", ["zero", "stop", "one"], ["places"]),
        helper.make_node("Unsqueeze", ["places", "axes"], ["column"]),
        helper.make_node("Cast", ["column"], ["mask"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Add", ["split", "mask"], ["y"]),
    ]
    numbers = {"heads": [2, 4], "zeros": [0], "zero": 0, "one": 1, "axes": [1, 2]}
    constants = {name: np.array(value, np.int64) for name, value in numbers.items()}
    graph = prepare(model(nodes, {"x": ["b", "s", 8]}, ["y"], constants), Options()).graph
    assert graph.values["split"].shape == ("b", "s", 2, 4)
    assert len(graph.values["mask"].shape or ()) == 3
    assert "target" not in {name for op in graph.ops for name in op.inputs}
