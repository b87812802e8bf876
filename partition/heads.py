"""Attention on [samples, places, heads x features] -> on [samples, heads, places, features], with heads as an axis.

onnxruntime 1.31 takes a joined axis whose size is open, as that of a rank's heads is, for one of size 0. Its kernel
transposes such inputs itself, so that nothing is added.
"""

from __future__ import annotations

import onnx_ir as ir

from partition.constants import set_constant
from partition.rewriting import RewriteOpsPass

_COUNTS = ("q_num_heads", "kv_num_heads", "kv_num_heads")
_PLACES_AND_HEADS = [0, 2, 1, 3]


class SeparateHeadsPass(RewriteOpsPass):
    """Rewrite ONNX's Attention where all three inputs have joined heads of known size."""

    ops = frozenset({"Attention"})

    def matches(self, node: ir.Node) -> bool:
        """Whether the heads are joined, and their size is known."""
        pairs = zip(node.inputs[:3], _COUNTS, strict=True)
        return all(value is not None and _width(value, node.attributes.get_int(name, 0)) > 0 for value, name in pairs)

    def rewrite(self, graph: ir.Graph, node: ir.Node) -> None:
        """Take the heads of its inputs apart, and join those of its result."""
        _separate(graph, node)


def _width(value: ir.Value, heads: int) -> int:
    """Features of a head; 0 = not three axes, or not known."""
    size = value.shape[2] if value.shape is not None and len(value.shape) == 3 else None
    return size // heads if isinstance(size, int) and heads and size % heads == 0 else 0


def _separate(graph: ir.Graph, node: ir.Node) -> None:
    width = 0
    for i, name in enumerate(_COUNTS):
        heads = node.attributes.get_int(name, 0)
        value = node.inputs[i]
        assert value is not None
        width = _width(value, heads)
        node.replace_input_with(i, _separated(graph, node, i, heads, width))
    total = node.attributes.get_int("q_num_heads", 0) * width
    for name in _COUNTS:
        node.attributes.pop(name, None)
    _join(graph, node, total)


def _separated(graph: ir.Graph, node: ir.Node, position: int, heads: int, width: int) -> ir.Value:
    """An input as [samples, heads, places, features]."""
    source = node.inputs[position]
    assert source is not None
    base = f"{node.outputs[0].name}__heads{position}"
    apart = _node(graph, node, "Reshape", source, f"{base}_apart")
    set_constant(graph, apart, 1, [0, 0, heads, width])
    return _node(graph, node, "Transpose", apart.outputs[0], base, perm=_PLACES_AND_HEADS).outputs[0]


def _join(graph: ir.Graph, node: ir.Node, total: int) -> None:
    """The result, as the graph knows it, behind the node."""
    result = node.outputs[0]
    name = result.name or ""
    turned = ir.node("Transpose", [result], attributes={"perm": _PLACES_AND_HEADS}, name=f"{name}__places")
    joined = ir.node("Reshape", [turned.outputs[0]], name=f"{name}__joined")
    output = joined.outputs[0]
    output.shape, output.type = result.shape, result.type
    turned.outputs[0].type, result.shape = result.type, None
    ir.convenience.replace_all_uses_with(result, output, replace_graph_outputs=True)
    turned.replace_input_with(0, result)
    graph.insert_after(node, [turned, joined])
    result.name, turned.outputs[0].name, output.name = f"{name}__heads", f"{name}__places", name
    set_constant(graph, joined, 1, [0, 0, total])


def _node(graph: ir.Graph, before: ir.Node, op: str, source: ir.Value, name: str, **attributes: list[int]) -> ir.Node:
    new = ir.node(op, [source], attributes=attributes, name=name)
    new.outputs[0].name, new.outputs[0].type = name, source.type
    graph.insert_before(before, new)
    return new
