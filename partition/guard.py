"""Ops that refuse an empty piece: a rank that has none computes on one element of zeros, and drops the result.

How many samples a request has is known when it comes. A guarded op is therefore an If: where the rank's piece is empty,
the op runs on zeros of which that axis has length 1, and what comes of them is cut to nothing along it, so that all
other sizes are those of the other ranks' pieces; else it runs as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper


@dataclass(frozen=True)
class Divided:
    """A divided input or output of the op.

    position: of the input or output.
    axis:     that is divided.
    rank:     number of axes; dtype: element type. Both of inputs only.
    """

    position: int
    axis: int
    rank: int = 0
    dtype: int = 0


def guarded(node: onnx.NodeProto, inputs: Sequence[Divided], outputs: Sequence[Divided]) -> list[onnx.NodeProto]:
    """Nodes that do what `node` does, and give nothing for nothing."""
    base = next(filter(None, node.output))
    wanted = [out for out in outputs if node.output[out.position]]
    first = inputs[0]
    branches = {"then_branch": _on_zeros(node, inputs, wanted), "else_branch": _as_it_stands(node, wanted)}
    return [
        helper.make_node("Shape", [node.input[first.position]], [f"{base}.sizes"]),
        _constant(f"{base}.axis", first.axis),
        helper.make_node("Gather", [f"{base}.sizes", f"{base}.axis"], [f"{base}.size"]),
        _constant(f"{base}.nothing", 0),
        helper.make_node("Equal", [f"{base}.size", f"{base}.nothing"], [f"{base}.is_empty"]),
        helper.make_node("If", [f"{base}.is_empty"], [node.output[out.position] for out in wanted], **branches),
    ]


def _as_it_stands(node: onnx.NodeProto, wanted: Sequence[Divided]) -> onnx.GraphProto:
    inner = _renamed(node, "piece")
    return _graph("piece", [inner], [inner.output[out.position] for out in wanted])


def _on_zeros(node: onnx.NodeProto, inputs: Sequence[Divided], wanted: Sequence[Divided]) -> onnx.GraphProto:
    inner = _renamed(node, "zeros")
    before = [step for given in inputs for step in _zeros(node.input[given.position], inner, given)]
    results = {out: inner.output[out.position] for out in wanted}
    after = [step for out, name in results.items() for step in _cut_to_nothing(name, out.axis)]
    return _graph("zeros", [*before, inner, *after], [f"{name}.cut" for name in results.values()])


def _zeros(source: str, inner: onnx.NodeProto, given: Divided) -> list[onnx.NodeProto]:
    """Zeros of an empty tensor's sizes, with one element along its axis; the op is told to read them."""
    target = f"{next(filter(None, inner.output))}.{given.position}"
    inner.input[given.position] = target
    value = helper.make_tensor("value", given.dtype, [1], [0])
    return [
        helper.make_node("Shape", [source], [f"{target}.sizes"]),
        _constant(f"{target}.one", *(int(axis == given.axis) for axis in range(given.rank))),
        helper.make_node("Add", [f"{target}.sizes", f"{target}.one"], [f"{target}.filled"]),
        helper.make_node("ConstantOfShape", [f"{target}.filled"], [target], value=value),
    ]


def _cut_to_nothing(name: str, axis: int) -> list[onnx.NodeProto]:
    bounds = [f"{name}.nothing", f"{name}.nothing", f"{name}.axis"]
    return [
        _constant(f"{name}.nothing", 0),
        _constant(f"{name}.axis", axis),
        helper.make_node("Slice", [name, *bounds], [f"{name}.cut"]),
    ]


def _renamed(node: onnx.NodeProto, suffix: str) -> onnx.NodeProto:
    """The node with results of other names: those of a branch must not be those of the If."""
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    inner.output[:] = [f"{name}.{suffix}" if name else "" for name in node.output]
    return inner


def _graph(name: str, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], [onnx.ValueInfoProto(name=output) for output in outputs])


def _constant(name: str, *numbers: int) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(numbers, np.int64)))
