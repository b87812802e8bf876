"""Order the work of all ranks: computation in levels, exchanges between them.

The level of an op is the number of exchanges on the longest way to it, so each level is one sub-graph per rank, as
large as the exchanges allow, and every rank meets the exchanges in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from partition.choices import Choice
from partition.graph import Graph, Op
from partition.moves import Move, Tariff, cheapest_route
from partition.placement import ROOT, Partial, Placement, Shard
from partition.search import Plan


@dataclass(frozen=True, eq=False)
class Compute:
    """An op, computed as chosen; `only` = the one rank that does, or None for all."""

    op: Op
    choice: Choice

    def runs_on(self, rank: int) -> bool:
        """Whether this rank computes it."""
        return self.choice.mode != "single" or rank == ROOT.rank


@dataclass(frozen=True)
class Slice:
    """Every rank cuts its own piece from a whole value."""

    value: str
    placement: Shard


@dataclass(frozen=True)
class Transfer:
    """An exchange of one value."""

    value: str
    move: Move


@dataclass(frozen=True, eq=False)
class Chain:
    """A sparse chain: several kernels and exchanges of its own."""

    op: Op
    choice: Choice


@dataclass
class Level:
    """What happens between two rounds of exchanges: sub-graphs first, then what needs other ranks."""

    slices: list[Slice] = field(default_factory=list)
    computes: list[Compute] = field(default_factory=list)
    after: list[Transfer | Chain] = field(default_factory=list)


def local_name(value: str, placement: Placement) -> str:
    """What a rank calls its part of a value. Whole values keep their name, so that graph inputs and outputs do."""
    return f"{value}@{placement}" if isinstance(placement, Shard | Partial) else value


def make_schedule(graph: Graph, plan: Plan, workers: int, is_chain: frozenset[Op]) -> tuple[Level, ...]:
    """The levels of a plan, in order; graph outputs end up whole on rank 0."""
    builder = _Builder(graph, workers, plan.tariff)
    for op, choice in zip(graph.ops, plan.choices, strict=True):
        builder.add(op, choice, op in is_chain)
    for name in graph.outputs:
        builder.bring(name, ROOT)
    return tuple(builder.finish())


class _Builder:
    """Replays the plan, and notes for each part of a value the level from which on it exists."""

    def __init__(self, graph: Graph, workers: int, tariff: Tariff) -> None:
        self._graph, self._workers, self._tariff = graph, workers, tariff
        self._ready: dict[str, dict[Placement, int]] = {name: {ROOT: 0} for name in graph.inputs}
        self._levels: list[Level] = []
        self._cuts: dict[Slice, int] = {}

    def add(self, op: Op, choice: Choice, is_chain: bool) -> None:
        needs = [(name, p) for name, p in choice.needs(op) if not self._graph.is_weight(name)]
        level = max((self.bring(name, placement) for name, placement in needs), default=0)
        for name, placement in needs:
            self._note_cut(name, placement, level)
        if is_chain:
            self._level(level).after.append(Chain(op, choice))
        else:
            self._level(level).computes.append(Compute(op, choice))
        for name, placement in zip(op.outputs, choice.outputs, strict=True):
            self._ready.setdefault(name, {})[placement] = level + is_chain

    def bring(self, name: str, wanted: Placement) -> int:
        """Make a value exist as wanted; return the level from which on it does."""
        have = frozenset(self._ready[name])
        route = cheapest_route(have, wanted, self._graph.values[name].cargo, self._workers, self._tariff)
        assert route is not None, f"the plan brings {name!r} from {have} to {wanted}"
        for move in route.moves:
            self._apply(name, move)
        return self._ready[name][wanted]

    def _apply(self, name: str, move: Move) -> None:
        level = self._ready[name][move.source]
        if move.is_exchange:
            self._note_cut(name, move.source, level)
            self._level(level).after.append(Transfer(name, move))
        self._ready[name].setdefault(move.target, level + move.is_exchange)
        if move.kind == "slice" and isinstance(move.target, Shard):
            self._cuts[Slice(name, move.target)] = -1

    def _note_cut(self, name: str, placement: Placement, level: int) -> None:
        """A slice is cut in the first level that reads it, so that no level exists for slices alone."""
        if isinstance(placement, Shard) and (cut := Slice(name, placement)) in self._cuts:
            known = self._cuts[cut]
            self._cuts[cut] = level if known < 0 else min(known, level)

    def _level(self, index: int) -> Level:
        while len(self._levels) <= index:
            self._levels.append(Level())
        return self._levels[index]

    def finish(self) -> Iterator[Level]:
        for cut, level in self._cuts.items():
            self._level(level).slices.append(cut)
        yield from self._levels
