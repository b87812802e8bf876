"""From what a strategy allows to a plan: the cheapest one, unless it leaves all ranks but the first idle."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from partition.choices import Choice
from partition.errors import UnsupportedModelError
from partition.graph import Graph, Op
from partition.layout import Layout, Part, Section
from partition.placement import Shard
from partition.policy import allowed_choices
from partition.schedule import Chain, make_schedule
from partition.search import Plan, Prices, cheapest_plan
from partition.sparse.layers import SparseLayer
from partition.sparse.merge import merge_info
from partition.sparse.plan import plan_chain
from partition.sparse.report import sparse_info

Layers = Mapping[Op, tuple[SparseLayer, ...]]
_DIVIDING = frozenset({"batch", "column", "partial", "row", "split"})
_BY_NAME = frozenset({"column", "row", "tensor"})


def is_divided(choice: Choice) -> bool:
    """Whether an op that is computed this way is computed in pieces."""
    return choice.mode in _DIVIDING


def make_plan(
    graph: Graph, strategy: str, workers: int, prices: Prices | None = None, divided: Container[str] = ()
) -> Plan:
    """The plan to compile by.

    divided: weights of which no rank may hold all, where a division is allowed.

    Who names `row` or `column` wants the work divided. Where no weight has to be, and exchanges cost more than they
    save, everything would stay on rank 0: then every op that can be divided is.

    Raises:
        UnsupportedModelError: if the strategy cannot place this graph.
    """
    allowed = _dividing(graph, allowed_choices(graph, strategy, workers), divided)
    plan = cheapest_plan(graph, allowed, workers, prices)
    if strategy not in _BY_NAME or any(map(is_divided, plan.choices)):
        return plan
    known = {id(choices): tuple(filter(is_divided, choices)) or choices for choices in allowed}
    dividing = [known[id(choices)] for choices in allowed]
    try:
        return cheapest_plan(graph, dividing, workers, prices)
    except UnsupportedModelError:  # a value that cannot travel ties its ops to rank 0
        return plan


def _dividing(
    graph: Graph, allowed: Sequence[tuple[Choice, ...]], weights: Container[str]
) -> Sequence[tuple[Choice, ...]]:
    """Of each op's choices those that divide these weights, if there are any; one object for all that are alike."""
    known: dict[tuple[int, tuple[bool, ...]], tuple[Choice, ...]] = {}
    found = []
    for op, choices in zip(graph.ops, allowed, strict=True):
        key = (id(choices), tuple(name in weights for name in (*op.inputs, *op.captured)))
        if key not in known:
            known[key] = tuple(c for c in choices if _divides(op, c, weights)) or choices
        found.append(known[key])
    return found


def _divides(op: Op, choice: Choice, weights: Container[str]) -> bool:
    return all(isinstance(placement, Shard) for name, placement in choice.needs(op) if name in weights)


def make_part(
    graph: Graph,
    layers: Layers,
    strategy: str,
    workers: int,
    prices: Prices | None = None,
    divided: Container[str] = (),
) -> Part:
    """A graph with its ops placed on a group of ranks; the rest as make_plan.

    Raises:
        UnsupportedModelError: if the strategy cannot place this graph.
    """
    return scheduled(graph, layers, make_plan(graph, strategy, workers, prices, divided), workers)


def scheduled(graph: Graph, layers: Layers, plan: Plan, workers: int) -> Part:
    """A plan as levels of computation and exchanges."""
    levels = make_schedule(graph, plan, workers, frozenset(layers))
    found = [item for level in levels for item in level.after if isinstance(item, Chain)]
    chains = {chain: plan_chain(chain, layers[chain.op], workers) for chain in found}
    return Part(graph, plan.choices, levels, chains, workers)


def whole_layout(part: Part) -> Layout:
    """One part on all workers."""
    return Layout(part.graph, (Section(part, tuple(range(part.workers))),), part.workers)


def layout_info(layout: Layout) -> Mapping[str, int | str]:
    """What reports say of a layout: how many ops are divided, in themselves or because groups share the samples."""
    places = layout.places
    total = sum(len(part.choices) for part in places)
    split = sum(
        len(part.choices) if len(groups) > 1 else sum(map(is_divided, part.choices)) for part, groups in places.items()
    )
    chains = [chain for part in places for chain in part.chains.values()]
    return {"split_ops": split, "replicated_ops": total - split, **sparse_info(chains), **merged_info(layout)}


def merged_info(layout: Layout) -> Mapping[str, int]:
    """What became of equal rows of sparse layers; empty where they were not looked for."""
    return merge_info(chain.merged for part in layout.places for chain in part.chains.values() if chain.merged)
