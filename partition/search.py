"""Choose one way per op so that the whole costs least: a beam search over the ops in topological order.

A state is what is held where: placements of the values that later ops still read. States that hold the same are merged,
the cheaper survives; so on a chain, where one value is alive at a time, the search is an exact dynamic programme as
long as the beam is wide enough. A state that another one could be turned into for less than what it costs more is
dropped. `Plan` is all that the rest of the compiler sees, so another search can take its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from partition.choices import Choice
from partition.errors import UnsupportedModelError
from partition.graph import Graph, Op
from partition.moves import BY_COST, Tariff
from partition.pieces import piece_bytes
from partition.placement import ROOT, Placement
from partition.states import Held, Holdings
from partition.work import work_shares

BEAM_WIDTH = 24
_COMPARED = 8  # of the best states, those that others are held against
# An element computed costs a thousandth of a byte sent.
_ELEMENT_COST = 1e-3
# From here on it matters that a weight which several ops read alike is stored once.
_SHARED_BYTES = 1 << 12


@dataclass(frozen=True)
class Prices:
    """What the search minimises, in bytes sent.

    tariff: of exchanges.
    copied: per weight byte that ranks hold beyond its one copy.
    held:   per weight byte that rank 0 holds; no rank holds more than rank 0.
    """

    tariff: Tariff = BY_COST
    copied: float = 1.0
    held: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The result: choices[i] for graph.ops[i]; cost in bytes, as estimated; tariff: by which routes are chosen."""

    choices: tuple[Choice, ...]
    cost: float
    tariff: Tariff = BY_COST


@dataclass(frozen=True)
class _State:
    """cost: up to here; held: an entry per value that is alive; chosen: how it came about."""

    cost: float
    held: tuple[Held, ...]
    chosen: tuple[_State, Choice] | None = None


@dataclass(frozen=True)
class _Way:
    """A choice with all that does not depend on the state.

    fixed: its price, without moves.
    needs: (index among the values alive, wanted placement).
    """

    choice: Choice
    fixed: float
    needs: tuple[tuple[int, Placement], ...]
    outputs: tuple[Held, ...]


def cheapest_plan(
    graph: Graph, allowed: Sequence[Sequence[Choice]], workers: int, prices: Prices | None = None
) -> Plan:
    """The cheapest plan found among the allowed choices.

    Raises:
        UnsupportedModelError: if some op cannot get its inputs where any of its choices needs them.
    """
    search = _Search(graph, workers, prices or Prices())
    states = [_State(0.0, tuple(search.holdings.of(ROOT) for _ in graph.inputs))]
    alive = list(graph.inputs)
    for index, op in enumerate(graph.ops):
        step = search.step(index, op, allowed[index], alive)
        states = search.best(step.names, [new for state in states for new in step.advance(state)])
        alive = step.names
        if not states:
            raise UnsupportedModelError(f"op {op.label}: its inputs cannot be brought to where the strategy needs them")
    ends = [end for state in states if (end := search.deliver(alive, state))]
    if not ends:
        raise UnsupportedModelError(f"graph {graph.name!r}: its outputs cannot be gathered")
    best = min(ends, key=lambda state: state.cost)
    return Plan(_choices(best), best.cost, search.prices.tariff)


def _choices(state: _State) -> tuple[Choice, ...]:
    found: list[Choice] = []
    while state.chosen:
        state, choice = state.chosen
        found.append(choice)
    return tuple(reversed(found))


class _Search:
    """What all steps share."""

    def __init__(self, graph: Graph, workers: int, prices: Prices) -> None:
        self.graph, self.workers, self.prices = graph, workers, prices
        self.holdings = Holdings(workers, prices.tariff)
        self.shared = frozenset(_shared_weights(graph))

    def step(self, index: int, op: Op, choices: Sequence[Choice], alive: list[str]) -> _Step:
        """One op, among the values that are alive before it."""
        new = [name for name in op.reads if name in self.shared and name not in alive]
        before = [*alive, *new]
        made = [name for name in dict.fromkeys(op.outputs) if name and name in self.graph.last_use]
        kept = tuple(i for i, name in enumerate(before) if self.graph.last_use.get(name, -1) > index)
        made = [name for name in made if self.graph.last_use[name] > index]
        ways = [self._way(op, choice, before, made) for choice in choices]
        known = [way for way in ways if way]
        return _Step(self, known, before, len(new), kept, [*(before[i] for i in kept), *made])

    def _way(self, op: Op, choice: Choice, before: list[str], made: list[str]) -> _Way | None:
        fixed, needs = self._work(op, choice), []
        for name, wanted in choice.needs(op):
            if name in self.shared or not self.graph.is_weight(name):
                needs.append((before.index(name), wanted))
                continue
            price = self.storage(name, wanted)
            if price is None:
                return None
            fixed += price
        places = dict(zip(op.outputs, choice.outputs, strict=True))
        return _Way(choice, fixed, tuple(needs), tuple(self.holdings.of(places[name]) for name in made))

    def storage(self, name: str, wanted: Placement) -> float | None:
        """The price of a weight there; None = it cannot be there."""
        held = piece_bytes(self.graph, name, wanted, self.workers)
        if held is None:
            return None
        copies = sum(held) - self.graph.values[name].nbytes
        return self.prices.copied * max(0, copies) + self.prices.held * held[0]

    def _work(self, op: Op, choice: Choice) -> float:
        """Elements computed by the busiest rank; rank 0 alone is as slow as all together, but wakes nobody."""
        elements = sum(self.graph.values[name].elements for name in op.outputs if name in self.graph.values)
        awake = 1.1 if choice.mode in ("replicate", "partial") else 1.0
        return _ELEMENT_COST * awake * max(work_shares(self.graph, op, choice, self.workers)) * elements

    def acquire(self, name: str, held: Held, wanted: Placement) -> tuple[float, Held] | None:
        """What it costs to have a value, or a weight that several ops read, also as wanted, and what is held then."""
        if name not in self.shared:
            return self.holdings.acquire(held, wanted, self.graph.values[name].cargo)
        if wanted in held:
            return 0.0, held
        price = self.storage(name, wanted)
        return None if price is None else (price, self.holdings.also(held, wanted))

    def best(self, names: Sequence[str], states: list[_State]) -> list[_State]:
        """Of states that hold the same the cheapest; then the cheapest of all, without those that are dominated."""
        merged: dict[tuple[Held, ...], _State] = {}
        for state in states:
            known = merged.get(state.held)
            if known is None or state.cost < known.cost:
                merged[state.held] = state
        kept: list[_State] = []
        for state in sorted(merged.values(), key=lambda state: state.cost):
            if not any(state.cost >= k.cost + self._detour(names, k, state) for k in kept[:_COMPARED]):
                kept.append(state)
            if len(kept) == BEAM_WIDTH:
                break
        return kept

    def _detour(self, names: Sequence[str], source: _State, target: _State) -> float:
        """At most what it costs to turn one state into another."""
        pairs = zip(names, source.held, target.held, strict=True)
        return sum(self._conversion(name, a, b) for name, a, b in pairs if a is not b)

    def _conversion(self, name: str, source: Held, target: Held) -> float:
        if name in self.shared:
            return sum(self.storage(name, wanted) or 0.0 for wanted in target.placements if wanted not in source)
        return self.holdings.conversion(source, target, self.graph.values[name].cargo)

    def deliver(self, names: Sequence[str], state: _State) -> _State | None:
        """The state once rank 0 holds every output."""
        cost, outputs = state.cost, set(self.graph.outputs)
        for name, held in zip(names, state.held, strict=True):
            if name in outputs:
                got = self.holdings.acquire(held, ROOT, self.graph.values[name].cargo)
                if got is None:
                    return None
                cost += got[0]
        return _State(cost, state.held, state.chosen)


def _shared_weights(graph: Graph) -> Iterator[str]:
    """Weights of some size that several ops read: they are stored once in each placement."""
    readers: dict[str, int] = {}
    for op in graph.ops:
        for name in op.reads:
            readers[name] = readers.get(name, 0) + 1
    yield from (n for n, count in readers.items() if count > 1 and n in graph.weights and _is_large(graph, n))


def _is_large(graph: Graph, name: str) -> bool:
    return graph.values[name].nbytes >= _SHARED_BYTES


@dataclass(frozen=True)
class _Step:
    """One op of the search.

    before: values alive before it; the last `new` of them are weights that are read for the first time.
    kept:   which of them are alive after it.
    names:  values alive after it.
    """

    search: _Search
    ways: list[_Way]
    before: list[str]
    new: int
    kept: tuple[int, ...]
    names: list[str]
    routes: dict[tuple[int, int, Placement], tuple[float, Held] | None] = field(default_factory=dict)

    def advance(self, state: _State) -> Iterator[_State]:
        """The states after computing the op in each way that its inputs can be had for."""
        before = (*state.held, *(self.search.holdings.nothing for _ in range(self.new)))
        for way in self.ways:
            held, cost = list(before), state.cost + way.fixed
            for index, wanted in way.needs:
                got = self._acquire(index, held[index], wanted)
                if got is None:
                    break
                cost, held[index] = cost + got[0], got[1]
            else:
                yield _State(cost, (*(held[i] for i in self.kept), *way.outputs), (state, way.choice))

    def _acquire(self, index: int, held: Held, wanted: Placement) -> tuple[float, Held] | None:
        key = (index, id(held), wanted)
        if key not in self.routes:
            self.routes[key] = self.search.acquire(self.before[index], held, wanted)
        return self.routes[key]
