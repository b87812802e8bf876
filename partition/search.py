"""Choose one way per op so that the whole costs least: a beam search over the ops in topological order.

A state is what is held where: placements of the values that later ops still read. States that hold the same are merged,
the cheaper survives; so on a chain, where one value is alive at a time, the search is an exact dynamic programme as
long as the beam is wide enough. `Plan` is all that the rest of the compiler sees, so another search can take its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from partition.choices import Choice
from partition.errors import UnsupportedModelError
from partition.graph import Graph, Op
from partition.moves import cheapest_route
from partition.placement import ROOT, Placement, Replicate, Shard, Single

BEAM_WIDTH = 24
# In bytes sent: a weight byte held beyond its one copy counts as one, an element computed as a thousandth of one.
_ELEMENT_COST = 1e-3

Held = dict[str, frozenset[Placement]]


@dataclass(frozen=True)
class Plan:
    """The result: choices[i] for graph.ops[i]; cost in bytes, as estimated."""

    choices: tuple[Choice, ...]
    cost: float


@dataclass(frozen=True)
class _State:
    cost: float
    held: Held
    chosen: tuple[_State, Choice] | None = None

    @property
    def key(self) -> frozenset[tuple[str, frozenset[Placement]]]:
        return frozenset(self.held.items())


def cheapest_plan(graph: Graph, allowed: Sequence[Sequence[Choice]], workers: int) -> Plan:
    """The cheapest plan found among the allowed choices.

    Raises:
        UnsupportedModelError: if some op cannot get its inputs where any of its choices needs them.
    """
    start: Held = {name: frozenset({ROOT}) for name in graph.inputs}
    states = [_State(0.0, start)]
    for index, op in enumerate(graph.ops):
        step = _Step(graph, index, op, workers)
        states = _best(new for state in states for choice in allowed[index] if (new := step.advance(state, choice)))
        if not states:
            raise UnsupportedModelError(f"op {op.label}: its inputs cannot be brought to where the strategy needs them")
    ends = [end for state in states if (end := _deliver(graph, state, workers))]
    if not ends:
        raise UnsupportedModelError(f"graph {graph.name!r}: its outputs cannot be gathered")
    best = min(ends, key=lambda state: state.cost)
    return Plan(_choices(best), best.cost)


def _best(states: object) -> list[_State]:
    merged: dict[object, _State] = {}
    for state in states:  # type: ignore[attr-defined]
        known = merged.get(state.key)
        if known is None or state.cost < known.cost:
            merged[state.key] = state
    return sorted(merged.values(), key=lambda state: state.cost)[:BEAM_WIDTH]


def _choices(state: _State) -> tuple[Choice, ...]:
    found: list[Choice] = []
    while state.chosen:
        state, choice = state.chosen
        found.append(choice)
    return tuple(reversed(found))


@dataclass(frozen=True)
class _Step:
    """One op of the search."""

    graph: Graph
    index: int
    op: Op
    workers: int

    def advance(self, state: _State, choice: Choice) -> _State | None:
        """The state after computing the op this way; None if its inputs cannot be had."""
        cost, held = state.cost + self._work(choice), dict(state.held)
        for name, wanted in choice.needs(self.op):
            price = self._acquire(held, name, wanted)
            if price is None:
                return None
            cost += price
        for name, placement in zip(self.op.outputs, choice.outputs, strict=True):
            if name and name in self.graph.last_use:
                held[name] = frozenset({placement})
        alive = {name: places for name, places in held.items() if self.graph.last_use.get(name, -1) > self.index}
        return _State(cost, alive, (state, choice))

    def _acquire(self, held: Held, name: str, wanted: Placement) -> float | None:
        if self.graph.is_weight(name):
            return self._storage(name, wanted)
        route = cheapest_route(held[name], wanted, self.graph.values[name].cargo, self.workers)
        if route is None:
            return None
        held[name] |= {wanted, *(move.target for move in route.moves)}
        return route.cost

    def _storage(self, name: str, wanted: Placement) -> float | None:
        if not isinstance(wanted, Replicate | Single | Shard):
            return None
        copies = self.workers - 1 if isinstance(wanted, Replicate) else 0
        return float(copies * self.graph.values[name].nbytes)

    def _work(self, choice: Choice) -> float:
        """Elements computed; rank 0 alone is as slow as all together, but wakes nobody."""
        elements = sum(self.graph.values[name].elements for name in self.op.outputs if name in self.graph.values)
        share = {"replicate": 1.1, "single": 1.0, "partial": 1.1}.get(choice.mode, 1.0 / self.workers)
        return _ELEMENT_COST * share * elements


def _deliver(graph: Graph, state: _State, workers: int) -> _State | None:
    """The state once rank 0 holds every output."""
    cost = state.cost
    for name in graph.outputs:
        route = cheapest_route(state.held[name], ROOT, graph.values[name].cargo, workers)
        if route is None:
            return None
        cost += route.cost
    return _State(cost, state.held, state.chosen)
