"""Nodes are counted in a file's bytes as ONNX counts them in what it parses, and no bytes make that fail."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from partition import UnsupportedModelError, checks, frontend
from partition.frontend import load
from partition.tensor_checks import inner_graphs
from partition.wire import has_more_nodes
from tests.partition import hostile, models


def counted(data: bytes) -> int:
    """The least number of which there are no more."""
    return next(most for most in range(10_000) if not has_more_nodes(io.BytesIO(data), most))


def in_functions() -> onnx.ModelProto:
    """Nodes in two functions, too."""
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"])]
    proto = models.model([helper.make_node(name, ["x"], ["y"], domain="own") for name in "F"], {"x": ["n", 4]}, ["y"])
    proto.opset_import.append(helper.make_opsetid("own", 1))
    opsets = [helper.make_opsetid("", 18)]
    proto.functions.extend(helper.make_function("own", name, ["x"], ["y"], nodes, opsets) for name in "FG")
    return proto


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    **models.DENSE,
    "functions": in_functions,
    "nested": lambda: hostile.nested(5),
}


@pytest.mark.parametrize("name", MODELS)
def test_nodes_are_as_many_as_onnx_finds(name: str) -> None:
    proto = MODELS[name]()
    expected = sum(len(graph.node) for graph in inner_graphs([proto.graph, *proto.functions]))
    assert counted(proto.SerializeToString()) == expected > 0


@given(st.binary(max_size=200), st.integers(0, 400))
def test_bytes_that_are_damaged_are_left_to_the_parser(noise: bytes, cut: int) -> None:
    data = models.residual().SerializeToString()
    for damaged in (noise, data[:cut], data[:cut] + noise + data[cut:]):
        assert has_more_nodes(io.BytesIO(damaged), 10**6) is False


def test_a_large_file_with_too_many_nodes_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(models.residual(), path)
    monkeypatch.setattr(frontend, "_LARGE_FILE", 16)
    load(path)
    monkeypatch.setattr(frontend, "MAX_NODES", 2)
    monkeypatch.setattr(frontend, "check_model", None)  # not reached
    with pytest.raises(UnsupportedModelError, match=r"^model: expected at most 2 nodes, got more$"):
        load(path)
    assert checks.MAX_NODES > 2
