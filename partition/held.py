"""How many bytes of weights each rank holds under a plan: what a memory limit is held against."""

from __future__ import annotations

import math
from collections.abc import Sequence

from partition.choices import Choice
from partition.graph import Graph
from partition.placement import Placement, Replicate, Shard, Single


def piece_bytes(graph: Graph, name: str, placement: Placement, workers: int) -> tuple[int, ...] | None:
    """Bytes of a weight by rank where it is placed so; None = a weight cannot be."""
    cargo = graph.values[name].cargo
    match placement:
        case Replicate():
            return (cargo.nbytes,) * workers
        case Single(rank):
            return tuple(cargo.nbytes if at == rank else 0 for at in range(workers))
        case Shard(axis):
            slab = math.prod(cargo.dims[:axis] + cargo.dims[axis + 1 :]) * cargo.item_bytes
            return tuple(placement.length(cargo.dims[axis], workers, rank) * slab for rank in range(workers))
    return None


def held_bytes(graph: Graph, choices: Sequence[Choice], workers: int) -> tuple[int, ...]:
    """Bytes of weights by rank; a weight that several ops read in the same place counts once."""
    placed = {
        (name, p)
        for op, choice in zip(graph.ops, choices, strict=True)
        for name, p in choice.needs(op)
        if name in graph.weights
    }
    pieces = [piece_bytes(graph, name, placement, workers) or () for name, placement in placed]
    return tuple(map(sum, zip(*pieces, strict=True))) if pieces else (0,) * workers
