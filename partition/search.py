"""Choose one way per op so that the whole costs least: a beam search over the ops in topological order.

A state is what is held where: placements of the values that later ops still read. States that hold the same are merged,
the cheaper survives; so on a chain, where one value is alive at a time, the search is an exact dynamic programme as
long as the beam is wide enough. A state that another one could be turned into for less than what it costs more is
dropped. `Plan` is all that the rest of the compiler sees, so another search can take its place.

Values that are alive have a slot each. A step touches the slots of what its op reads and makes, and looks at no others:
new states are told apart by a sum over their slots that is brought up to date, and only those that survive are written
out. So a step costs no more where thousands of values are alive, but for the copies of survivors, which are fewer then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from partition.choices import Choice
from partition.errors import UnsupportedModelError
from partition.graph import Graph, Op
from partition.moves import BY_COST, Tariff
from partition.pieces import piece_bytes
from partition.placement import ROOT, Placement
from partition.slots import Slots
from partition.states import Held, Holdings
from partition.work import work_shares

BEAM_WIDTH = 24
_BEAM_VALUES = 4096  # that the states of a beam may hold together: with thousands of values alive it is narrower
_NARROWEST = 3
_MANY_SLOTS = 64
_COMPARED = 8  # of the best states, those that others are held against
# An element computed costs a thousandth of a byte sent.
_ELEMENT_COST = 1e-3
_TIE = 1e-3  # bytes: less is rounding, and of equal states the rest of the search needs one
# From here on it matters that a weight which several ops read alike is stored once.
_SHARED_BYTES = 1 << 12


Numbers = NDArray[np.int64]


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


# How a state came about: the choice of the last op, and the trail before it. States themselves are not kept.
_Trail = tuple["_Trail", Choice] | None


class _State:
    """cost: up to here; held: by slot; numbers: the same as numbers; mark: the sum that tells held apart."""

    __slots__ = ("cost", "held", "mark", "numbers", "trail")

    def __init__(self, cost: float, mark: int, held: list[Held], numbers: Numbers | None, trail: _Trail) -> None:
        self.cost, self.mark, self.held, self.numbers, self.trail = cost, mark, held, numbers, trail

    def widen(self, size: int, nothing: Held) -> None:
        """Have so many slots. Where there are many, states are compared by numbers, as numpy does that at once."""
        self.held.extend([nothing] * (size - len(self.held)))
        if self.numbers is None and size > _MANY_SLOTS:
            self.numbers = np.array([now.number for now in self.held])
        elif self.numbers is not None and size > self.numbers.size:
            self.numbers = np.append(self.numbers, np.zeros(size, np.int64))  # twice as many: seldom again

    def differs(self, other: _State) -> Iterable[int]:
        """The slots in which they hold something else."""
        if self.numbers is not None and other.numbers is not None:
            size = len(self.held)
            return np.flatnonzero(self.numbers[:size] != other.numbers[:size])
        return [slot for slot, (a, b) in enumerate(zip(self.held, other.held, strict=True)) if a is not b]


class _New:
    """A state that is not written out yet: its parent's, with some slots changed."""

    __slots__ = ("changes", "choice", "cost", "mark", "parent")

    def __init__(self, cost: float, mark: int, parent: _State, choice: Choice, changes: dict[int, Held]) -> None:
        self.cost, self.mark, self.parent, self.choice, self.changes = cost, mark, parent, choice, changes

    def held(self, slot: int) -> Held:
        """What the slot holds."""
        return self.changes.get(slot) or self.parent.held[slot]

    def state(self) -> _State:
        """The state itself."""
        held, numbers = self.parent.held.copy(), self.parent.numbers
        for slot, now in self.changes.items():
            held[slot] = now
        if numbers is not None:
            numbers = numbers.copy()
            numbers[list(self.changes)] = [now.number for now in self.changes.values()]
        return _State(self.cost, self.mark, held, numbers, (self.parent.trail, self.choice))


@dataclass(frozen=True)
class _Way:
    """A choice with all that does not depend on the state.

    fixed:   its price, without moves.
    needs:   (position among what the op reads, wanted placement).
    outputs: what is held of each then.
    """

    choice: Choice
    fixed: float
    needs: tuple[tuple[int, Placement], ...]
    outputs: tuple[Held, ...]


@dataclass(frozen=True, eq=False)
class _Ways:
    """All ways of an op, and of those that are alike. routes: what was found out about (position, held, wanted)."""

    ways: tuple[_Way, ...]
    routes: dict[tuple[int, Held, int], tuple[float, Held] | None]


@dataclass
class _Reads:
    """What an op reads, by position: names, and their slots, -1 = none."""

    names: tuple[str, ...]
    ways: _Ways
    slots: Sequence[int] = ()


def cheapest_plan(
    graph: Graph, allowed: Sequence[Sequence[Choice]], workers: int, prices: Prices | None = None
) -> Plan:
    """The cheapest plan found among the allowed choices.

    Raises:
        UnsupportedModelError: if some op cannot get its inputs where any of its choices needs them.
    """
    search = _Search(graph, workers, prices or Prices())
    states = [search.start()]
    for index, op in enumerate(graph.ops):
        states = search.step(index, op, allowed[index], states)
        if not states:
            raise UnsupportedModelError(f"op {op.label}: its inputs cannot be brought to where the strategy needs them")
    ends = [(end, state) for state in states if (end := search.deliver(state)) is not None]
    if not ends:
        raise UnsupportedModelError(f"graph {graph.name!r}: its outputs cannot be gathered")
    cost, best = min(ends, key=lambda end: end[0])
    return Plan(_choices(best.trail), cost, search.prices.tariff)


def _choices(trail: _Trail) -> tuple[Choice, ...]:
    found: list[Choice] = []
    while trail:
        trail, choice = trail
        found.append(choice)
    return tuple(reversed(found))


class _Search:
    """What all steps share."""

    def __init__(self, graph: Graph, workers: int, prices: Prices) -> None:
        self.graph, self.workers, self.prices = graph, workers, prices
        self.holdings = Holdings(workers, prices.tariff)
        self.shared = frozenset(_shared_weights(graph))
        self.slots = Slots(graph.last_use)
        self._ways: dict[tuple[int, int, tuple[bool, ...]], _Ways] = {}

    def start(self) -> _State:
        """Rank 0 has the inputs."""
        root, nothing = self.holdings.of(ROOT), self.holdings.nothing
        for name in self.graph.inputs:
            self.slots.take(name)
        held = [root if name else nothing for name in self.slots.names]
        return _State(0.0, sum(now.mark * (2 * slot + 1) for slot, now in enumerate(held)), held, None, None)

    def step(self, index: int, op: Op, choices: Sequence[Choice], states: list[_State]) -> list[_State]:
        """The best states after an op."""
        reads = _Reads((*op.inputs, *op.captured), self._alike(op, choices))
        for name in self.shared.intersection(reads.names):
            self.slots.take(name)
        reads.slots = [self.slots.of(name) for name in reads.names]
        gone, made = self.slots.advance(index, op)
        for state in states:
            state.widen(len(self.slots.names), self.holdings.nothing)
        new: dict[int, _New] = {}
        for one in (one for state in states for one in self._advance(state, reads, gone, made)):
            if one.mark not in new or one.cost < new[one.mark].cost:
                new[one.mark] = one
        return self._best(new.values(), {*reads.slots, *gone, *(slot for slot, _ in made)} - {-1})

    def _advance(
        self, state: _State, reads: _Reads, gone: Sequence[int], made: Sequence[tuple[int, int]]
    ) -> Iterator[_New]:
        """The states after computing the op in each way that its inputs can be had for."""
        held, nothing = state.held, self.holdings.nothing
        for way in reads.ways.ways:
            cost, changes = state.cost + way.fixed, dict[int, Held]()
            for position, wanted in way.needs:
                slot = reads.slots[position]
                now = changes.get(slot) or held[slot]
                got = self._acquire(reads, position, now, wanted)
                if got is None:
                    break
                cost += got[0]
                if got[1] is not now:
                    changes[slot] = got[1]
            else:
                changes.update(dict.fromkeys(gone, nothing))
                changes.update((slot, way.outputs[position]) for slot, position in made)
                mark = state.mark + sum((now.mark - held[slot].mark) * (2 * slot + 1) for slot, now in changes.items())
                yield _New(cost, mark, state, way.choice, changes)

    def _acquire(self, reads: _Reads, position: int, held: Held, wanted: Placement) -> tuple[float, Held] | None:
        key = (position, held, id(wanted))
        if key not in reads.ways.routes:
            reads.ways.routes[key] = self._route(reads.names[position], held, wanted)
        return reads.ways.routes[key]

    def _route(self, name: str, held: Held, wanted: Placement) -> tuple[float, Held] | None:
        """What it costs to have a value, or a weight that several ops read, also as wanted, and what is held then."""
        if name not in self.shared:
            return self.holdings.acquire(held, wanted, self.graph.values[name].cargo)
        if wanted in held:
            return 0.0, held
        price = self.storage(name, wanted)
        return None if price is None else (price, self.holdings.also(held, wanted))

    def _alike(self, op: Op, choices: Sequence[Choice]) -> _Ways:
        shared = tuple(name in self.shared for name in (*op.inputs, *op.captured))
        key = (self.graph.kinds[op], id(choices), shared)
        if key not in self._ways:
            found = (self._way(op, choice) for choice in choices)
            self._ways[key] = _Ways(tuple(way for way in found if way), {})
        return self._ways[key]

    def _way(self, op: Op, choice: Choice) -> _Way | None:
        fixed, needs = self._work(op, choice), []
        for position, (name, wanted) in enumerate(_placed(op, choice)):
            if name in self.shared or (name and not self.graph.is_weight(name)):
                needs.append((position, wanted))
            elif name:
                price = self.storage(name, wanted)
                if price is None:
                    return None
                fixed += price
        return _Way(choice, fixed, tuple(needs), tuple(map(self.holdings.of, choice.outputs)))

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

    def _best(self, new: Iterable[_New], touched: Iterable[int]) -> list[_State]:
        """The cheapest of all, without those that are dominated."""
        compared = _Compared(self, dict.fromkeys(sorted(touched)))
        width = max(_NARROWEST, min(BEAM_WIDTH, _BEAM_VALUES // max(1, self.slots.alive)))
        kept: list[_New] = []
        for one in sorted(new, key=lambda state: state.cost):
            if not any(compared.reaches(better, one) for better in kept[:_COMPARED]):
                kept.append(one)
            if len(kept) == width:
                break
        return [one.state() for one in kept]

    def conversion(self, slot: int, source: Held, target: Held) -> float:
        """At most what it costs to have the value of a slot in every place of `target` too."""
        name = self.slots.names[slot]
        if name in self.shared:
            return sum(self.storage(name, wanted) or 0.0 for wanted in target.placements if wanted not in source)
        return self.holdings.conversion(source, target, self.graph.values[name].cargo)

    def deliver(self, state: _State) -> float | None:
        """The cost once rank 0 holds every output."""
        cost = state.cost
        for name in dict.fromkeys(self.graph.outputs):
            got = self.holdings.acquire(state.held[self.slots.of(name)], ROOT, self.graph.values[name].cargo)
            if got is None:
                return None
            cost += got[0]
        return cost


def _placed(op: Op, choice: Choice) -> Iterator[tuple[str, Placement]]:
    """What each position of what the op reads needs; "" = absent."""
    yield from zip(op.inputs, choice.inputs, strict=True)
    yield from ((name, choice.others) for name in op.captured)


class _Compared:
    """New states of one step beside each other: they differ where the step touched them, and where their parents do."""

    def __init__(self, search: _Search, touched: Mapping[int, None]) -> None:
        self._search, self._touched = search, touched
        self._parents: dict[tuple[_State, _State], Iterable[int]] = {}

    def reaches(self, better: _New, other: _New) -> bool:
        """Whether the better one can be turned into the other for at most what it is cheaper."""
        left = other.cost - better.cost
        for slot in self._differing(better.parent, other.parent):
            source, target = better.held(slot), other.held(slot)
            if source is not target:
                left -= self._search.conversion(slot, source, target)
                if left < -_TIE:
                    return False
        return True

    def _differing(self, one: _State, another: _State) -> Iterable[int]:
        if one is another:
            return self._touched
        if (one, another) not in self._parents:
            apart = one.differs(another)
            self._parents[one, another] = self._parents[another, one] = apart
        known = self._parents[one, another]
        return chain(self._touched, (slot for slot in known if slot not in self._touched))


def _shared_weights(graph: Graph) -> Iterator[str]:
    """Weights of some size that several ops read: they are stored once in each placement."""
    readers: dict[str, int] = {}
    for op in graph.ops:
        for name in op.reads:
            readers[name] = readers.get(name, 0) + 1
    yield from (n for n, count in readers.items() if count > 1 and n in graph.weights and _is_large(graph, n))


def _is_large(graph: Graph, name: str) -> bool:
    return graph.values[name].nbytes >= _SHARED_BYTES
