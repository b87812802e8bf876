"""How a value gets from one placement to another, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from engine.program import ExchangeKind
from engine.split import is_direct_reduce
from partition.graph import Cargo
from partition.placement import REPLICATE, ROOT, Partial, Placement, Replicate, Shard, Single


@dataclass(frozen=True)
class Move:
    """One change of placement. kind: an exchange, or "slice" / "keep", which need none."""

    kind: ExchangeKind | str
    source: Placement
    target: Placement

    @property
    def is_exchange(self) -> bool:
        """Whether ranks talk to each other."""
        return self.kind not in ("keep", "slice")


def direct_move(source: Placement, target: Placement) -> Move | None:
    """The one instruction that turns `source` into `target`, if there is one."""
    kind = _kind(source, target)
    return Move(kind, source, target) if kind else None


def _kind(source: Placement, target: Placement) -> str:
    match source, target:
        case Single(), Replicate():
            return "broadcast"
        case Single(), Shard():
            return "scatter"
        case Replicate(), Single():
            return "keep"
        case Replicate(), Shard(blocks=1):
            return "slice"
        case Shard(), Replicate():
            return "all_gather"
        case Shard(), Shard() if source.axis != target.axis:
            return "all_to_all"
        case Shard(), Single():
            return "gather"
        case Partial(), Replicate():
            return "all_reduce"
        case Partial(), Single():
            return "reduce"
        case Partial(op="sum"), Shard():
            return "reduce_scatter"
    return ""


def sent_bytes(move: Move, value: Cargo, workers: int) -> int:
    """Bytes of tensors that all ranks together send: exactly what engine.collectives sends where the shape is exact."""
    others, nbytes = workers - 1, value.nbytes
    match move.kind:
        case "broadcast" | "all_gather" | "reduce" | "reduce_scatter":
            return others * nbytes
        case "scatter" | "gather":
            placement = move.target if move.kind == "scatter" else move.source
            return nbytes - value.item_bytes * _elements(value, workers, 0, placement)
        case "all_to_all":
            kept = sum(_elements(value, workers, rank, move.source, move.target) for rank in range(workers))
            return nbytes - value.item_bytes * kept
        case "all_reduce":
            return others * nbytes * (workers if is_direct_reduce(nbytes, workers) else 2)
    return 0


def _elements(value: Cargo, workers: int, rank: int, *placements: Placement) -> int:
    """Elements of the part of a value that all of these placements give to a rank."""
    dims = list(value.dims)
    for placement in placements:
        if isinstance(placement, Shard) and placement.axis < len(dims):  # else of unknown rank
            dims[placement.axis] = placement.length(value.dims[placement.axis], workers, rank)
    return math.prod(dims)


def messages(move: Move, value: Cargo, workers: int) -> int:
    """Messages that all ranks together send."""
    match move.kind:
        case "broadcast" | "gather" | "reduce" | "scatter":
            return workers - 1
        case "all_to_all" | "all_gather" | "reduce_scatter":
            return workers * (workers - 1)
        case "all_reduce":
            return rounds(move, value, workers) * workers * (workers - 1)
    return 0


def rounds(move: Move, value: Cargo, workers: int) -> int:
    """How often a rank waits for others."""
    if move.kind == "all_reduce":
        return 1 if is_direct_reduce(value.nbytes, workers) else 2
    return int(move.is_exchange)


@dataclass(frozen=True)
class Tariff:
    """What an exchange is charged beside its bytes, in bytes: it keeps many small exchanges from looking free.

    message: per message.
    wait:    per round, and rank that waits in it.
    """

    message: float = 256.0
    wait: float = 16384.0

    def of(self, move: Move, value: Cargo, workers: int) -> float:
        """What a move costs, in bytes."""
        if not move.is_exchange:
            return 0.0
        charged = self.message * messages(move, value, workers) + self.wait * workers * rounds(move, value, workers)
        return sent_bytes(move, value, workers) + charged


BY_COST = Tariff()
BY_BYTES = Tariff(1.0, 1.0)  # hardly more than the bytes: of equal ones the fewest messages and rounds


@dataclass(frozen=True)
class Route:
    """Moves that lead to a wanted placement, and their cost in bytes."""

    moves: tuple[Move, ...]
    cost: float


@lru_cache(maxsize=1 << 16)
def cheapest_route(
    have: frozenset[Placement], wanted: Placement, value: Cargo, workers: int, tariff: Tariff = BY_COST
) -> Route | None:
    """The cheapest way to `wanted` from any placement that exists, in at most two moves; None = impossible.

    A value that cannot travel may be kept or cut where it is, no more.
    """
    if wanted in have:
        return Route((), 0.0)
    paths = (path for path in _paths(sorted(have, key=str), wanted, value) if all(_possible(m, value) for m in path))
    routes = (Route(path, sum(tariff.of(move, value, workers) for move in path)) for path in paths)
    return min(routes, key=lambda route: (route.cost, len(route.moves)), default=None)


def _possible(move: Move, value: Cargo) -> bool:
    return value.sliced if move.kind == "slice" else value.travels or not move.is_exchange


def _paths(have: list[Placement], wanted: Placement, value: Cargo) -> Iterator[tuple[Move, ...]]:
    middles: list[Placement] = [REPLICATE, ROOT, *(Shard(axis) for axis in range(len(value.dims)))]
    for source in have:
        if move := direct_move(source, wanted):
            yield (move,)
        for middle in middles:
            first, second = direct_move(source, middle), direct_move(middle, wanted)
            if first and second:
                yield (first, second)
