"""Choose one way per op so that the whole costs least: a beam search over the ops in topological order.

A state is what is held where: placements of the values that later ops still read. States that hold the same are merged,
the cheaper survives; so on a chain, where one value is alive at a time, the search is an exact dynamic programme as
long as the beam is wide enough. A state that another one could be turned into for less than what it costs more is
dropped. `Plan` is all that the rest of the compiler sees, so another search can take its place.

States are ranked by what they cost and what is sure to be added: the least that it takes to bring each value that is
alive to where its next reader has a use for it. Else the beam would fill with pieces that nobody can read.

Values that are alive have a slot each. A step touches the slots of what its op reads and makes, and looks at no others:
new states are told apart by a sum over their slots that is brought up to date, and only those that survive are written
out. So a step costs no more where thousands of values are alive, but for the copies of survivors, which are fewer then.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from partition.beam import New, Outcome, Prospect, Reads, State, Step, Trail, Way, Ways
from partition.choices import Choice
from partition.errors import UnsupportedModelError
from partition.graph import Cargo, Graph, Op
from partition.moves import BY_COST, Tariff
from partition.pieces import piece_bytes
from partition.placement import ROOT, Placement
from partition.slots import Slots
from partition.states import Held, Holdings
from partition.work import work_shares

BEAM_WIDTH = 24
_BEAM_VALUES = 4096  # that the states of a beam may hold together: with thousands of values alive it is narrower
_NARROWEST = 3
_COMPARED = 8  # of the best states, those that others are held against
_KEPT_OUTCOMES = 1 << 16  # for later turns of the same kind: a deep model repeats few, another would fill the memory
# An element computed costs a thousandth of a byte sent.
_ELEMENT_COST = 1e-3
_TIE = 1e-3  # bytes: less is rounding, and of equal states the rest of the search needs one
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


def cheapest_plan(
    graph: Graph, allowed: Sequence[Sequence[Choice]], workers: int, prices: Prices | None = None
) -> Plan:
    """The cheapest plan found among the allowed choices.

    Raises:
        UnsupportedModelError: if some op cannot get its inputs where any of its choices needs them.
    """
    search = _Search(graph, allowed, workers, prices or Prices())
    states = [search.start()]
    for index, op in enumerate(graph.ops):
        states = search.step(index, op, states)
        if not states:
            raise UnsupportedModelError(f"op {op.label}: its inputs cannot be brought to where the strategy needs them")
    ends = [(end, state) for state in states if (end := search.deliver(state)) is not None]
    if not ends:
        raise UnsupportedModelError(f"graph {graph.name!r}: its outputs cannot be gathered")
    cost, best = min(ends, key=lambda end: end[0])
    return Plan(_choices(best.trail), cost, search.prices.tariff)


def _choices(trail: Trail) -> tuple[Choice, ...]:
    found: list[Choice] = []
    while trail:
        trail, choice = trail
        found.append(choice)
    return tuple(reversed(found))


class _Search:
    """What all steps share."""

    def __init__(self, graph: Graph, allowed: Sequence[Sequence[Choice]], workers: int, prices: Prices) -> None:
        self.graph, self.allowed, self.workers, self.prices = graph, allowed, workers, prices
        self.holdings = Holdings(workers, prices.tariff)
        self.shared = frozenset(_shared_weights(graph))
        self.slots = Slots(graph.last_use)
        self._ways: dict[tuple[int, int, tuple[bool, ...]], Ways] = {}
        self._known_reads: dict[int, Reads] = {}
        self._prospects: dict[Hashable, dict[tuple[Held, ...], Prospect]] = {}
        self._kept_outcomes = 0
        self._conversions: dict[tuple[Hashable, Held, Held], float] = {}
        self._moved_as = _cargo_numbers(graph, self.shared)
        self._readers: dict[str, list[int]] = {}  # by value those who will read it, the next one last
        for index, op in reversed(list(enumerate(graph.ops))):
            for name in op.reads:
                self._readers.setdefault(name, []).append(index)

    def start(self) -> State:
        """Rank 0 has the inputs."""
        root, nothing = self.holdings.of(ROOT), self.holdings.nothing
        for name in self.graph.inputs:
            self.slots.take(name)
        held = [root if name else nothing for name in self.slots.names]
        return State(0.0, 0.0, sum(now.mark * (2 * slot + 1) for slot, now in enumerate(held)), held, None, None)

    def step(self, index: int, op: Op, states: list[State]) -> list[State]:
        """The best states after an op."""
        step = self._turn(index, op)
        size = len(self.slots.names)
        for state in (state for state in states if len(state.held) < size):
            state.widen(size, self.holdings.nothing)
        return self._best(self._advance(states, step), step.touched)

    def _turn(self, index: int, op: Op) -> Step:
        reads = self._reads(index)
        del self._known_reads[index]
        for name in self.shared.intersection(reads.names):
            self.slots.take(name)
        reads.slots = [self.slots.of(name) for name in reads.names]
        due = {reads.slots[at]: at for at, name in reversed(list(enumerate(reads.names))) if self._is_moved(name)}
        gone, made = self.slots.advance(index, op)
        for name in op.reads:
            self._readers[name].pop()
        read = tuple(slot for slot in dict.fromkeys(reads.slots) if slot >= 0)
        later = tuple(self._next_readers(dict.fromkeys((*op.reads, *op.outputs))))
        return Step(reads, read, tuple(due.items()), tuple(gone), tuple(made), later)

    def _next_readers(self, names: Iterable[str]) -> Iterator[tuple[int, Reads, int]]:
        for name in names:
            if self._is_moved(name) and self.slots.of(name) >= 0 and (readers := self._readers.get(name)):
                reader = self._reads(readers[-1])
                yield self.slots.of(name), reader, reader.names.index(name)

    def _is_moved(self, name: str) -> bool:
        """Whether a value is sent from rank to rank; weights are stored where they are read."""
        return bool(name) and not self.graph.is_weight(name)

    def _reads(self, index: int) -> Reads:
        if index not in self._known_reads:
            op = self.graph.ops[index]
            self._known_reads[index] = Reads((*op.inputs, *op.captured), self._alike(op, self.allowed[index]))
        return self._known_reads[index]

    def _least(self, reads: Reads, position: int, held: Held) -> float:
        """The least that the op pays to have what it reads there."""
        known = reads.ways.least
        if (position, held) not in known:
            wanted = {id(place): place for way in reads.ways.ways for at, place in way.needs if at == position}
            found = (self._acquire(reads, position, held, place) for place in wanted.values())
            known[position, held] = min((got[0] for got in found if got), default=0.0)
        return known[position, held]

    def _advance(self, states: Iterable[State], step: Step) -> Iterable[New]:
        """The states after computing the op in each way that its inputs can be had for; of equal ones the cheapest."""
        new: dict[int, New] = {}
        known = self._prospects_of(step)
        for state in states:
            held = tuple([state.held[slot] for slot in step.read])
            if held not in known:
                known[held] = self._prospect(step, dict(zip(step.read, held, strict=True)))
            left = state.ahead - known[held].due
            for one in known[held].outcomes:
                cost = state.cost
                for more in one.costs:
                    cost += more
                mark = state.mark + one.mark
                if mark not in new or cost < new[mark].cost:
                    new[mark] = New(cost, left + one.ahead, mark, state, one.choice, one.changes)
        return new.values()

    def _prospects_of(self, step: Step) -> dict[tuple[Held, ...], Prospect]:
        """What is known of steps of this kind, by what the slots hold that are read."""
        if self._kept_outcomes > _KEPT_OUTCOMES:
            self._prospects.clear()
            self._kept_outcomes = 0
        return self._prospects.setdefault(step.kind, {})

    def _prospect(self, step: Step, held: Mapping[int, Held]) -> Prospect:
        due = sum(self._least(step.reads, position, held[slot]) for slot, position in step.due)
        outcomes = tuple(self._outcomes(step, held))
        self._kept_outcomes += len(outcomes)
        return Prospect(due, outcomes)

    def _outcomes(self, step: Step, held: Mapping[int, Held]) -> Iterator[Outcome]:
        """Of the ways that the op's inputs can be had for, where they are held so."""
        nothing, reads = self.holdings.nothing, step.reads
        for way in reads.ways.ways:
            costs, changes = [way.fixed], dict[int, Held]()
            for position, wanted in way.needs:
                slot = reads.slots[position]
                now = changes.get(slot) or held[slot]
                got = self._acquire(reads, position, now, wanted)
                if got is None:
                    break
                costs.append(got[0])
                if got[1] is not now:
                    changes[slot] = got[1]
            else:
                changes.update(dict.fromkeys(step.gone, nothing))
                changes.update((slot, way.outputs[position]) for slot, position in step.made)
                mark = sum((now.mark - held.get(slot, nothing).mark) * (2 * slot + 1) for slot, now in changes.items())
                stays = ((reader, position, changes.get(slot) or held[slot]) for slot, reader, position in step.next)
                ahead = sum(self._least(*one) for one in stays)
                yield Outcome(way.choice, tuple(filter(None, costs)), ahead, mark, changes)

    def _acquire(self, reads: Reads, position: int, held: Held, wanted: Placement) -> tuple[float, Held] | None:
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

    def _alike(self, op: Op, choices: Sequence[Choice]) -> Ways:
        shared = tuple(name in self.shared for name in (*op.inputs, *op.captured))
        key = (self.graph.kinds[op], id(choices), shared)
        if key not in self._ways:
            found = (self._way(op, choice) for choice in choices)
            self._ways[key] = Ways(tuple(way for way in found if way), {})
        return self._ways[key]

    def _way(self, op: Op, choice: Choice) -> Way | None:
        fixed, needs = self._work(op, choice), []
        for position, (name, wanted) in enumerate(_placed(op, choice)):
            if name in self.shared or (name and not self.graph.is_weight(name)):
                needs.append((position, wanted))
            elif name:
                price = self.storage(name, wanted)
                if price is None:
                    return None
                fixed += price
        return Way(choice, fixed, tuple(needs), tuple(map(self.holdings.of, choice.outputs)))

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

    def _best(self, new: Iterable[New], touched: Iterable[int]) -> list[State]:
        """The cheapest of all, without those that are dominated."""
        compared = _Compared(self, dict.fromkeys(touched))
        width = max(_NARROWEST, min(BEAM_WIDTH, _BEAM_VALUES // max(1, self.slots.alive)))
        kept: list[New] = []
        for one in sorted(new, key=lambda state: state.cost + state.ahead):
            if not compared.reached(kept[:_COMPARED], one):
                kept.append(one)
            if len(kept) == width:
                break
        return [one.state() for one in kept]

    def conversion(self, slot: int, source: Held, target: Held) -> float:
        """At most what it costs to have the value of a slot in every place of `target` too."""
        name = self.slots.names[slot]
        key = self._moved_as.get(name, name), source, target
        if key not in self._conversions:
            self._conversions[key] = self._conversion(name, source, target)
        return self._conversions[key]

    def _conversion(self, name: str, source: Held, target: Held) -> float:
        if name in self.shared:
            return sum(self.storage(name, wanted) or 0.0 for wanted in target.placements if wanted not in source)
        return self.holdings.conversion(source, target, self.graph.values[name].cargo)

    def deliver(self, state: State) -> float | None:
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
        self._parents: dict[tuple[State, State], Iterable[int]] = {}

    def reached(self, better: Sequence[New], other: New) -> bool:
        """Whether one of the better ones can be turned into the other for at most what it is cheaper."""
        return any(other.cost - one.cost >= -_TIE and self._reaches(one, other) for one in better)

    def _reaches(self, better: New, other: New) -> bool:
        left = other.cost - better.cost
        before, after = (better.changes, better.parent.held), (other.changes, other.parent.held)
        for slot in self._differing(better.parent, other.parent):
            source, target = (changes.get(slot) or held[slot] for changes, held in (before, after))
            if source is not target:
                left -= self._search.conversion(slot, source, target)
                if left < -_TIE:
                    return False
        return True

    def _differing(self, one: State, another: State) -> Iterable[int]:
        if one is another:
            return self._touched
        if (one, another) not in self._parents:
            apart = [slot for slot in one.differs(another) if slot not in self._touched]
            self._parents[one, another] = self._parents[another, one] = [*self._touched, *apart]
        return self._parents[one, another]


def _cargo_numbers(graph: Graph, shared: Container[str]) -> dict[str, int]:
    """Values of one number cost the same to move; weights are not moved."""
    numbers: dict[Cargo, int] = {}
    moved = ((name, value) for name, value in graph.values.items() if name not in shared)
    return {name: numbers.setdefault(value.cargo, len(numbers)) for name, value in moved}


def _shared_weights(graph: Graph) -> Iterator[str]:
    """Weights of some size that several ops read: they are stored once in each placement."""
    readers: dict[str, int] = {}
    for op in graph.ops:
        for name in op.reads:
            readers[name] = readers.get(name, 0) + 1
    yield from (n for n, count in readers.items() if count > 1 and n in graph.weights and _is_large(graph, n))


def _is_large(graph: Graph, name: str) -> bool:
    return graph.values[name].nbytes >= _SHARED_BYTES
