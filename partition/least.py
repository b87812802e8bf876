"""The exchanges that a rank cannot do without, whatever the request: what a run's least cost and time are made of.

Kind "rows" is not counted: what a rank sends there is known from its index maps only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from engine.program import Exchange, Program

# Each of the group waits for each other one.
_MEETINGS = frozenset({"all_gather", "all_reduce", "all_to_all", "reduce_scatter"})
_TO_ROOT = frozenset({"gather", "reduce"})
_FROM_ROOT = frozenset({"broadcast", "scatter"})


@dataclass(frozen=True)
class Least:
    """sends: requests to send that the rank makes at the least, one per exchange in which it has something to send.

    meetings: messages that follow one another: who meets one group twice sends the second time what it has heard the
              first time.
    """

    sends: int
    meetings: int


def least_of(program: Program) -> Least:
    """Of one rank."""
    exchanges = [part for part in program.instructions if isinstance(part, Exchange) and _is_shared(part)]
    met = Counter(exchange.group for exchange in exchanges if exchange.kind in _MEETINGS)
    return Least(sum(_sends(exchange, program.rank) for exchange in exchanges), max(met.values(), default=0))


def _is_shared(exchange: Exchange) -> bool:
    """Whether there is another rank to it; a message to one other rank names that as its root."""
    return len(exchange.group) > 1 or exchange.kind == "send"


def _sends(exchange: Exchange, rank: int) -> bool:
    if exchange.kind in _TO_ROOT:
        return rank != exchange.root
    if exchange.kind in _FROM_ROOT:
        return rank == exchange.root
    return exchange.kind == "send" or exchange.kind in _MEETINGS
