"""Outputs: an initializer that is one gets a node behind it; one that nobody wants gets no name."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common


class ComputeOutputsPass(ir.passes.InPlacePass):
    """Put an Identity between an initializer and the output of its name, as only nodes make values on a rank."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite the main graph's outputs."""
        found = [i for i, output in enumerate(model.graph.outputs) if output.is_initializer()]
        for index in found:
            _insert(model.graph, index)
        return ir.passes.PassResult(model, modified=bool(found))


def _insert(graph: ir.Graph, index: int) -> None:
    weight = graph.outputs[index]
    name = weight.name or ""
    node = ir.node("Identity", [weight])
    graph.initializers.pop(name)
    weight.name = f"{name}__weight"
    graph.register_initializer(weight)
    node.outputs[0].name, node.outputs[0].shape, node.outputs[0].type = name, weight.shape, weight.type
    graph.append(node)
    graph.outputs[index] = node.outputs[0]


class NameValuesPass(ir.passes.InPlacePass):
    """onnx-ir's pass that gives every value a name of its own; an output that is not wanted stays nameless."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Name the values of all graphs."""
        unwanted = [output for node in ir.traversal.RecursiveGraphIterator(model.graph) for output in node.outputs]
        unwanted = [output for output in unwanted if not output.name]
        result = common.NameFixPass()(model)
        for output in unwanted:
            output.name = ""
        return result
