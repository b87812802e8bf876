"""How much an op computes: the points of its iteration space, from its rule's letters and the sizes to expect."""

from __future__ import annotations

import math

from partition.graph import Graph, Op
from partition.rules import Rule


def op_work(graph: Graph, op: Op, rule: Rule | None) -> int:
    """Multiplications, or elements where nothing is summed; without a rule, elements of what it reads and makes."""
    if rule is None or len(op.inputs) != len(rule.inputs) or len(op.outputs) != len(rule.outputs):
        return _elements(graph, op)
    sizes: dict[str, int] = {}
    tensors = [*zip(op.inputs, rule.inputs, strict=True), *zip(op.outputs, rule.outputs, strict=True)]
    for name, letters in tensors:
        dims = graph.values[name].cargo.dims if name in graph.values else ()
        for letter, dim in zip(letters, dims, strict=False):
            sizes[letter] = max(sizes.get(letter, 1), dim)
    return max(math.prod(sizes.values()), _elements(graph, op))


def _elements(graph: Graph, op: Op) -> int:
    """Elements of the largest of its tensors."""
    names = (name for name in (*op.reads, *op.outputs) if name in graph.values)
    return max((graph.values[name].elements for name in names), default=1)
