"""DynamicQuantizeLinear -> its steps, so that the range of a divided tensor comes from the ranges of its pieces.

The steps are those of ONNX's function, but for a tensor of zeros, whose scale is 1 as it is in onnxruntime; together
they take onnxruntime as long as the op.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from partition.constants import add_constant
from partition.rewriting import RewriteOpsPass

_NUMBERS = {"least": 0.0, "most": 255.0, "one": 1.0}
_UINT8 = int(ir.DataType.UINT8)


class SpellOutDynamicQuantizePass(RewriteOpsPass):
    """Rewrite each DynamicQuantizeLinear of an input of known shape."""

    ops = frozenset({"DynamicQuantizeLinear"})

    def matches(self, node: ir.Node) -> bool:
        """Whether the shape is known."""
        return bool(node.inputs) and node.inputs[0] is not None and node.inputs[0].shape is not None

    def rewrite(self, graph: ir.Graph, node: ir.Node) -> None:
        """Put the steps in its place, under the names of its outputs."""
        _spell_out(graph, node)


def _spell_out(graph: ir.Graph, node: ir.Node) -> None:
    (source, (result, scale, zero)), base = (node.inputs[0], node.outputs), node.outputs[0].name or ""
    number = {name: _number(graph, f"{base}__{name}", value) for name, value in _NUMBERS.items()}
    names = [output.name for output in node.outputs]
    steps = _steps(source, number)
    for i, new in enumerate(steps):
        new.outputs[0].name = f"{base}__step{i}"
        graph.insert_before(node, new)
    made = (steps[-1].outputs[0], _output(steps, "Where"), _output(steps, "Cast"))
    for old, new_value in zip((result, scale, zero), made, strict=True):
        new_value.shape, new_value.type = old.shape, old.type
        ir.convenience.replace_all_uses_with(old, new_value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    for value, name in zip(made, names, strict=True):
        value.name = name or value.name


def _steps(source: ir.Value | None, number: dict[str, ir.Value]) -> list[ir.Node]:
    """Nodes from the range of all elements to the quantised ones; scale and zero point are those of ONNX's function."""
    steps: list[ir.Node] = []

    def step(op: str, *inputs: ir.Value | None, **attributes: int) -> ir.Value:
        steps.append(ir.node(op, list(inputs), attributes=attributes))
        return steps[-1].outputs[0]

    low = step("Min", step("ReduceMin", source, keepdims=0), number["least"])
    high = step("Max", step("ReduceMax", source, keepdims=0), number["least"])
    width = step("Div", step("Sub", high, low), number["most"])
    scale = step("Where", step("Equal", width, number["least"]), number["one"], width)
    shift = step("Sub", number["least"], step("Div", low, scale))
    rounded = step("Round", step("Clip", shift, number["least"], number["most"]))
    step("QuantizeLinear", source, scale, step("Cast", rounded, to=_UINT8))
    return steps


def _output(steps: list[ir.Node], op: str) -> ir.Value:
    return next(node.outputs[0] for node in steps if node.op_type == op)


def _number(graph: ir.Graph, name: str, value: float) -> ir.Value:
    return add_constant(graph, ir.tensor(np.array(value, np.float32), name=name))
