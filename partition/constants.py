"""Small constants of a graph that is being rewritten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir


def add_constant(graph: ir.Graph, tensor: ir.TensorProtocol) -> ir.Value:
    """Make a named tensor an initializer of the graph."""
    shape = ir.Shape(tensor.shape.numpy())
    value = ir.Value(name=tensor.name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def constant_input(node: ir.Node, position: int) -> ir.TensorProtocol | None:
    """The value of an input that is an initializer."""
    value = node.inputs[position] if position < len(node.inputs) else None
    return value.const_value if value is not None and value.is_initializer() else None


def set_constant(graph: ir.Graph, node: ir.Node, position: int, numbers: Sequence[int]) -> bool:
    """Make these int64 numbers an input, one behind the last it may be; False if they are already."""
    old = constant_input(node, position)
    if old is not None and old.numpy().reshape(-1).tolist() == list(numbers):
        return False
    name = f"{node.outputs[0].name}__{node.op_type.lower()}"
    value = add_constant(graph, ir.tensor(np.array(numbers, np.int64), name=name))
    if position == len(node.inputs):
        node.resize_inputs(position + 1)
    node.replace_input_with(position, value)
    return True
