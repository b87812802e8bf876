"""Outputs that no node makes: an initializer gets a node behind it; an input that is an output needs none."""

from __future__ import annotations

import onnx_ir as ir


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
