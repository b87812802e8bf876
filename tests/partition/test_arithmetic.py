"""Integers that follow from sizes, and the sizes that follow from those."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from partition import Options
from partition.arithmetic import integers
from partition.compile import prepare
from partition.graph import Graph
from partition.sizes import with_sizes
from tests.partition import models


def node(op_type: str, *inputs: str, to: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, list(inputs), [to], **attributes)


def prepared(nodes: list[onnx.NodeProto], **constants: object) -> Graph:
    """The graph of nodes that read `x` [n, 5] and make `y`; constants are int64."""
    weights = {name: np.array(value, np.int64) for name, value in constants.items()}
    proto = models.model(nodes, {"x": ["n", 5]}, ["y"], {**weights, "table": models.floats(40, 5)})
    return prepare(proto, Options()).graph


def test_a_slice_as_long_as_the_input_has_its_size() -> None:
    """The way in which exporters take the first positions of a table."""
    nodes = [
        node("Shape", "x", to="length", start=0, end=1),
        node("Slice", "table", "zero", "length", "zero", to="places"),
        node("Add", "x", "places", to="y"),
    ]
    graph = prepared(nodes, zero=[0])
    assert with_sizes(graph, {"n": 7}, {}).values["places"].expected == (7, 5)


def test_sizes_that_follow_from_integers_give_further_integers() -> None:
    nodes = [
        node("Shape", "x", to="shape"),
        node("Gather", "shape", "first", to="n", axis=0),
        node("Mul", "n", "two", to="twice"),
        node("Range", "zero", "twice", "one", to="count"),
        node("Shape", "count", to="counted"),
        node("Slice", "table", "zeros", "counted", "zeros", to="rows"),
        node("ReduceSum", "rows", "zeros", to="y"),
    ]
    graph = prepared(nodes, first=0, two=2, zero=0, one=1, zeros=[0])
    sized = with_sizes(graph, {"n": 6}, {})
    assert sized.values["count"].expected == (12,)
    assert sized.values["rows"].expected == (12, 5)


@pytest.mark.parametrize(("factor", "step"), [(10**12, 1), (10**12, 0), (-5, 1)])
def test_a_range_that_is_too_long_or_none_is_left_alone(factor: int, step: int) -> None:
    nodes = [
        node("Shape", "x", to="shape"),
        node("Gather", "shape", "zero", to="size"),
        node("Mul", "size", "factor", to="stop"),
        node("Range", "zero", "stop", "step", to="count"),
        node("Neg", "count", to="y"),
    ]
    graph = prepared(nodes, factor=factor, zero=0, step=step)
    assert "count" not in integers(graph, {"x": (3, 5)})


def test_what_cannot_be_computed_is_left_to_the_request() -> None:
    nodes = [
        node("Shape", "x", to="shape"),
        node("Gather", "shape", "beyond", to="size", axis=0),
        node("Unsqueeze", "size", "zeros", to="ends"),
        node("Slice", "table", "zeros", "ends", "zeros", to="y"),
    ]
    proto = models.model(
        nodes, {"x": ["n", 5]}, ["y"], {"beyond": np.array(9), "zeros": np.array([0]), "table": models.floats(4, 5)}
    )
    assert integers(prepare(proto, Options()).graph, {"x": (3, 5)}).keys() <= {"shape"}
