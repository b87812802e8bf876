"""From what a strategy allows to a plan: the cheapest one, unless that one leaves all ranks but the first idle."""

from __future__ import annotations

from partition.choices import Choice
from partition.errors import UnsupportedModelError
from partition.graph import Graph
from partition.policy import allowed_choices
from partition.search import Plan, cheapest_plan

_DIVIDING = frozenset({"batch", "column", "partial", "row", "split"})
_BY_NAME = frozenset({"column", "row"})


def is_divided(choice: Choice) -> bool:
    """Whether an op that is computed this way is computed in pieces."""
    return choice.mode in _DIVIDING


def make_plan(graph: Graph, strategy: str, workers: int) -> Plan:
    """The plan to compile by.

    Who names `row` or `column` wants the work divided. Where no weight has to be, and exchanges cost more than they
    save, everything would stay on rank 0: then every op that can be divided is.

    Raises:
        UnsupportedModelError: if the strategy cannot place this graph.
    """
    allowed = allowed_choices(graph, strategy, workers)
    plan = cheapest_plan(graph, allowed, workers)
    if strategy not in _BY_NAME or any(map(is_divided, plan.choices)):
        return plan
    try:
        return cheapest_plan(graph, [tuple(filter(is_divided, choices)) or choices for choices in allowed], workers)
    except UnsupportedModelError:  # a value that cannot travel ties its ops to rank 0
        return plan
