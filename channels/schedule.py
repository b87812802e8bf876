"""When to ask again for what was not there: each key backs off by itself, with jitter."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Waiting:
    """How to wait for an object.

    start_s, cap_s: first and longest delay between two GETs of one key; each miss doubles it. A miss is a billed GET.
    """

    start_s: float = 0.005
    cap_s: float = 0.2


@dataclass
class Schedule:
    """Times of the next question, by key.

    due_s: by key, on the caller's clock; a key that was never asked for is due.
    delay_s: by key, the delay before the question after that.
    """

    due_s: dict[str, float] = field(default_factory=dict)
    delay_s: dict[str, float] = field(default_factory=dict)

    def due(self, keys: Iterable[str], now: float) -> list[str]:
        """Return the keys to ask for now."""
        return [key for key in keys if self.due_s.get(key, now) <= now]

    def asked(self, key: str, now: float, waiting: Waiting) -> None:
        """Note that `key` was asked for: the next time is later, and the one after that later still."""
        delay = self.delay_s.get(key, waiting.start_s)
        self.due_s[key] = now + delay * random.uniform(0.5, 1.0)
        self.delay_s[key] = min(waiting.cap_s, 2 * delay)

    def wait_s(self, keys: Iterable[str], now: float) -> float:
        """Return how long until the first of `keys` is due."""
        return max(0.0, min(self.due_s.get(key, now) for key in keys) - now)
