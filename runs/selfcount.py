"""A document that contains the cost of storing or sending itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from costs import CallCount, merge

T = TypeVar("T")
Counts = Mapping[str, CallCount]
# Each round can only change the number of digits of a count.
MAX_ROUNDS = 8


def with_own_cost(calls: Counts, make: Callable[[Counts], T], price: Callable[[T], Counts]) -> T:
    """The document `make(calls + price(document))`: made again until its own price no longer changes it."""
    own: Counts = {}
    for _ in range(MAX_ROUNDS):
        document = make(merge(calls, own))
        again = price(document)
        if again == own:
            break
        own = again
    return document
