"""How many bytes of a weight each rank holds where it is placed."""

from __future__ import annotations

import math

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
