"""How much an op computes: the points of its iteration space, from its rule's letters and the sizes to expect."""

from __future__ import annotations

import math
from collections.abc import Iterator

from partition.choices import Choice
from partition.graph import Graph, Op
from partition.placement import Shard
from partition.rules import Rule


def all_work(graph: Graph) -> list[int]:
    """The work of each op, as op_work has it; ops that are alike are counted once."""
    found: dict[int, int] = {}
    for op, rule in zip(graph.ops, graph.rules, strict=True):
        if graph.kinds[op] not in found:
            found[graph.kinds[op]] = op_work(graph, op, rule)
    return [found[graph.kinds[op]] for op in graph.ops]


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


def work_shares(graph: Graph, op: Op, choice: Choice, workers: int) -> list[float]:
    """What part of an op's work each rank does: an axis that is shorter than there are ranks leaves some idle."""
    if choice.mode == "single":
        return [1.0, *[0.0] * (workers - 1)]
    if choice.mode in ("replicate", "partial"):
        return [1.0] * workers
    return next(_piece_shares(graph, op, choice, workers), [1.0 / workers] * workers)


def _piece_shares(graph: Graph, op: Op, choice: Choice, workers: int) -> Iterator[list[float]]:
    """Of each divided axis that is known."""
    named = zip((*op.inputs, *op.outputs), (*choice.inputs, *choice.outputs), strict=True)
    for name, placement in named:
        dims = graph.values[name].cargo.dims if name in graph.values else ()
        if isinstance(placement, Shard) and placement.axis < len(dims) and dims[placement.axis]:
            size = dims[placement.axis]
            yield [placement.length(size, workers, rank) / size for rank in range(workers)]
