"""Conv with bias -> Conv + Add, so that a bias is added once however the sum over input channels is divided."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_BROADCASTING_ADD = 7  # the first opset
_OPS = ("Conv", "ConvTranspose")


class SplitConvBiasPass(ir.passes.InPlacePass):
    """y = conv(x, w) + bias, with a bias of shape [channels, 1, ...]; only a constant bias is split off."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite the convolutions of the main graph."""
        broadcasts = model.opset_imports.get("", 0) >= _BROADCASTING_ADD
        found = [node for node in list(model.graph) if broadcasts and _splits(node)]
        for node in found:
            _rewrite(model.graph, node)
        return ir.passes.PassResult(model, modified=bool(found))


def _splits(node: ir.Node) -> bool:
    if node.op_type not in _OPS or node.domain not in ("", "ai.onnx") or len(node.inputs) < 3:
        return False
    bias, weight = node.inputs[2], node.inputs[1]
    grouped = node.attributes.get_int("group", 1) != 1  # groups are never summed
    constant = bias is not None and bias.is_initializer() and bias.const_value is not None
    return constant and not grouped and weight is not None and weight.shape is not None


def _rewrite(graph: ir.Graph, node: ir.Node) -> None:
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
    shaped = ir.Tensor(np.ascontiguousarray(array), dtype=tensor.dtype, name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=shaped)
    graph.register_initializer(value)
    return value
