"""Conv with bias -> Conv + Add, so that a bias is added once however the sum over input channels is divided."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from partition.constants import add_constant
from partition.rewriting import RewriteOpsPass

_BROADCASTING_ADD = 7  # the first opset


class SplitConvBiasPass(RewriteOpsPass):
    """y = conv(x, w) + bias, with a bias of shape [channels, 1, ...]; only a constant bias is split off."""

    ops = frozenset({"Conv", "ConvTranspose"})

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite the convolutions of the main graph, where its Add can do it."""
        if model.opset_imports.get("", 0) < _BROADCASTING_ADD:
            return ir.passes.PassResult(model, modified=False)
        return super().call(model)

    def matches(self, node: ir.Node) -> bool:
        """Whether there is a constant bias, and no groups: they are never summed."""
        if len(node.inputs) < 3:
            return False
        bias, weight = node.inputs[2], node.inputs[1]
        grouped = node.attributes.get_int("group", 1) != 1
        constant = bias is not None and bias.is_initializer() and bias.const_value is not None
        return constant and not grouped and weight is not None and weight.shape is not None

    def rewrite(self, graph: ir.Graph, node: ir.Node) -> None:
        """Take the bias from the node, and add it behind."""
        _split_off(graph, node)


def _split_off(graph: ir.Graph, node: ir.Node) -> None:
    output, bias = node.outputs[0], node.inputs[2]
    assert bias is not None
    node.resize_inputs(2)
    total = ir.node("Add", [output, _shaped(graph, bias, node)], name=f"{output.name}__bias")
    result = total.outputs[0]
    name, result.shape, result.type = output.name, output.shape, output.type
    graph.insert_after(node, total)
    ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
    total.replace_input_with(0, output)
    output.name, result.name = f"{name}__unbiased", name


def _shaped(graph: ir.Graph, bias: ir.Value, node: ir.Node) -> ir.Value:
    """The bias with an axis of size 1 for each axis of the kernel."""
    weight, tensor = node.inputs[1], bias.const_value
    assert weight is not None
    assert weight.shape is not None
    assert tensor is not None
    array = tensor.numpy().reshape((-1, *(1 for _ in range(len(weight.shape) - 2))))
    name = f"{node.outputs[0].name}__channels"
    return add_constant(graph, ir.Tensor(np.ascontiguousarray(array), dtype=tensor.dtype, name=name))
