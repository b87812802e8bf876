"""How a value gets from one placement to another, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from engine.program import ExchangeKind
from partition.graph import Cargo
from partition.placement import REPLICATE, ROOT, Partial, Placement, Replicate, Shard, Single

# What a message costs, and what one more round of waiting costs each rank, in bytes: estimates that keep many small
# exchanges, and detours by rank 0, from looking free.
MESSAGE_BYTES = 256
ROUND_BYTES = 16384


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
        case Replicate(), Shard():
            return "slice"
        case Shard(), Replicate():
            return "all_gather"
        case Shard(), Shard() if source != target:
            return "all_to_all"
        case Shard(), Single():
            return "gather"
        case Partial(), Replicate():
            return "all_reduce"
        case Partial(op="sum"), Shard():
            return "reduce_scatter"
    return ""


def move_bytes(kind: str, nbytes: int, workers: int) -> float:
    """Bytes that all ranks together send, plus MESSAGE_BYTES for each message and ROUND_BYTES for each rank."""
    others = workers - 1
    wait = workers * ROUND_BYTES
    match kind:
        case "broadcast":
            return others * (nbytes + MESSAGE_BYTES) + wait
        case "scatter" | "gather":
            return others * (nbytes / workers + MESSAGE_BYTES) + wait
        case "all_to_all":
            return others * nbytes / workers + workers * others * MESSAGE_BYTES + wait
        case "all_gather" | "reduce_scatter":
            return others * nbytes + workers * others * MESSAGE_BYTES + wait
        case "all_reduce":
            return 2 * (others * nbytes + workers * others * MESSAGE_BYTES + wait)
    return 0.0


@dataclass(frozen=True)
class Route:
    """Moves that lead to a wanted placement, and their cost in bytes."""

    moves: tuple[Move, ...]
    cost: float


@lru_cache(maxsize=1 << 14)
def cheapest_route(have: frozenset[Placement], wanted: Placement, value: Cargo, workers: int) -> Route | None:
    """The cheapest way to `wanted` from any placement that exists, in at most two moves; None = impossible.

    A value that cannot travel may be kept or cut where it is, no more.
    """
    if wanted in have:
        return Route((), 0.0)
    routes = [_priced(moves, value, workers) for moves in _paths(sorted(have, key=str), wanted, value)]
    legal = [route for route in routes if all(_possible(move, value) for move in route.moves)]
    return min(legal, key=lambda route: (route.cost, len(route.moves)), default=None)


def _possible(move: Move, value: Cargo) -> bool:
    return value.sliced if move.kind == "slice" else value.travels or not move.is_exchange


def _paths(have: list[Placement], wanted: Placement, value: Cargo) -> Iterator[tuple[Move, ...]]:
    middles: list[Placement] = [REPLICATE, ROOT, *(Shard(axis) for axis in range(value.rank))]
    for source in have:
        if move := direct_move(source, wanted):
            yield (move,)
        for middle in middles:
            first, second = direct_move(source, middle), direct_move(middle, wanted)
            if first and second:
                yield (first, second)


def _priced(moves: tuple[Move, ...], value: Cargo, workers: int) -> Route:
    return Route(moves, sum(move_bytes(move.kind, value.nbytes, workers) for move in moves))
