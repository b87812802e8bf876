"""`auto`: divide a model no further than memory demands, as samples are independent and exchanges are not free.

One worker: serial. A model that fits one worker and whose outputs all carry the batch: batch, which exchanges nothing
between scatter and gather. A model that fits but has no batch to divide, or one that does not fit: row.
"""

from __future__ import annotations

from collections.abc import Mapping

from partition.graph import Graph, Op
from partition.policy import allowed_choices
from partition.sparse.layers import SparseLayer


def resolve_auto(
    graph: Graph, layers: Mapping[Op, tuple[SparseLayer, ...]], strategy: str, workers: int, memory_bytes: int
) -> str:
    """The strategy to compile with."""
    if strategy != "auto":
        return strategy
    if workers == 1:
        return "serial"
    held = graph.weight_bytes + sum(layer.weight.nbytes for chain in layers.values() for layer in chain)
    return "batch" if held <= memory_bytes and _is_batch_parallel(graph, workers) else "row"


def _is_batch_parallel(graph: Graph, workers: int) -> bool:
    """Whether every op that is not of constants alone is divided along the batch."""
    choices = zip(graph.ops, allowed_choices(graph, "batch", workers), strict=True)
    free = (choice[0].mode in ("split", "batch") or set(op.reads) <= graph.constant_names for op, choice in choices)
    return all(free)
