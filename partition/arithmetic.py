"""Integers that follow from sizes alone: what exporters compute bounds of Slice, lengths of Range and targets from.

ONNX's shape inference follows them through most ops, but to neither bounds nor lengths. Here ONNX's reference evaluator
computes them, op by op, as long as they are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto
from onnx.reference import ReferenceEvaluator

from partition.graph import Graph, Op

_OPS = frozenset(
    {"Add", "Cast", "Concat", "Div", "Gather", "Identity", "Mul", "Range", "Slice", "Squeeze", "Sub", "Unsqueeze"}
)
_MOST = 4096  # elements of one value
Values = dict[str, NDArray[Any]]


def integers(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Values:
    """Integer values of the graph, by name, that follow from these shapes and from constants."""
    known: Values = {}
    for op in graph.ops:
        if op.proto.domain in ("", "ai.onnx") and op.outputs and op.outputs[0] not in graph.outputs:
            found = _value(graph, op, shapes, known)
            if found is not None and found.dtype.kind == "i" and found.size <= _MOST:
                known[op.outputs[0]] = found
    return known


def _value(graph: Graph, op: Op, shapes: Mapping[str, tuple[int, ...]], known: Values) -> NDArray[Any] | None:
    if op.proto.op_type == "Shape" and op.inputs[0] in shapes:
        start, end = op.attributes.get("start", 0), op.attributes.get("end")
        return np.array(shapes[op.inputs[0]][start:end], np.int64)
    if op.proto.op_type not in _OPS or not all(name in known or _is_small(graph, name) for name in op.reads):
        return None
    feeds = {name: known[name] if name in known else graph.weights[name].numpy() for name in op.reads}
    if op.proto.op_type == "Range" and not 0 <= _length(*feeds.values()) <= _MOST:
        return None
    return _evaluate(op.proto, graph.opsets, feeds)


def _is_small(graph: Graph, name: str) -> bool:
    tensor = graph.weights.get(name)
    return tensor is not None and tensor.size <= _MOST and tensor.dtype.is_integer()


def _length(*bounds: NDArray[Any]) -> float:
    """Of a Range whose bounds may be the same value; -1 where it has none."""
    numbers = [int(bound.reshape(-1)[0]) for bound in bounds]
    return (numbers[1] - numbers[0]) / numbers[2] if len(numbers) == 3 and numbers[2] else -1


def _evaluate(node: NodeProto, opsets: Mapping[str, int], feeds: Values) -> NDArray[Any] | None:
    """What the node gives; None where it cannot: a request of these sizes would fail there, too."""
    try:
        (result,) = ReferenceEvaluator(node, opsets=dict(opsets)).run(None, feeds)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None
    return np.asarray(result)
