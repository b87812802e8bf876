"""Chains of sparse layers taken apart layer by layer, so that a graph can be cut between two, and joined again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnx import helper

from partition.graph import Graph, Op, make_op
from partition.rules.sparse import CHAIN, DOMAIN
from partition.sparse.layers import SparseLayer

Layers = Mapping[Op, tuple[SparseLayer, ...]]


def apart(graph: Graph, layers: Layers) -> tuple[Graph, Layers]:
    """The graph with an op per sparse layer."""
    found: dict[Op, tuple[SparseLayer, ...]] = {}
    ops: list[Op] = []
    for op in graph.ops:
        source = op.inputs[0] if op in layers else ""
        for layer in layers.get(op, ()):
            ops.append(_chain(source, layer.name))
            found[ops[-1]], source = (layer,), layer.name
        if op not in layers:
            ops.append(op)
    return (replace(graph, ops=tuple(ops)), found) if found else (graph, {})


def joined(graph: Graph, layers: Layers) -> tuple[Graph, Layers]:
    """The graph with layers that follow one another, and that nobody else reads, as one op."""
    found: dict[Op, tuple[SparseLayer, ...]] = {}
    ops: list[Op] = []
    for index, op in enumerate(graph.ops):
        last = ops[-1] if ops else None
        if op in layers and last in found and last.outputs == op.inputs and graph.last_use[op.inputs[0]] == index:
            ops[-1] = _chain(last.inputs[0], op.outputs[0])
            found[ops[-1]] = (*found.pop(last), *layers[op])
        else:
            ops.append(op)
            found |= {op: layers[op]} if op in layers else {}
    return replace(graph, ops=tuple(ops)), found


def _chain(source: str, target: str) -> Op:
    return make_op(helper.make_node(CHAIN, [source], [target], name=target, domain=DOMAIN))
