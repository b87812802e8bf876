"""How many bytes of weights each rank holds: what a memory limit is held against."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from partition.layout import Layout, Part
from partition.pieces import piece_bytes
from partition.sparse.plan import ChainPlan


def layout_bytes(layout: Layout) -> tuple[int, ...]:
    """Bytes of weights by rank. Sparse layers are counted by the share of their entries."""
    held: Mapping[int, int] = dict.fromkeys(range(layout.workers), 0)
    for part, groups in layout.places.items():
        shares = _part_bytes(part)
        held = {**held, **{rank: held[rank] + shares[i] for group in groups for i, rank in enumerate(group)}}
    return tuple(held[rank] for rank in range(layout.workers))


def _part_bytes(part: Part) -> tuple[int, ...]:
    """By rank of the part; a weight that several ops read in the same place counts once."""
    placed = {
        (name, placement)
        for op, choice in zip(part.graph.ops, part.choices, strict=True)
        for name, placement in choice.needs(op)
        if name in part.graph.weights
    }
    pieces = [piece_bytes(part.graph, name, placement, part.workers) or () for name, placement in placed]
    chains = [_chain_bytes(plan) for plan in part.chains.values()]
    return tuple(map(sum, zip((0,) * part.workers, *pieces, *chains, strict=True)))


def _chain_bytes(plan: ChainPlan) -> tuple[int, ...]:
    total = sum(layer.weight.nbytes for layer in plan.layers)
    if plan.choice.mode == "row":
        entries = [np.diff(layer.weight.indptr) for layer in plan.layers]
        owned = [
            [int(counts[rows].sum()) for rows in ranks] for counts, ranks in zip(entries, plan.owned[1:], strict=True)
        ]
        stored = max(1, sum(int(counts.sum()) for counts in entries))
        return tuple(total * sum(rank) // stored for rank in zip(*owned, strict=True))
    if plan.choice.mode == "column":
        return (-(-total // plan.workers),) * plan.workers
    return (total,) * plan.workers if plan.choice.mode == "batch" else (total, *(0,) * (plan.workers - 1))
