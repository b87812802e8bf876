"""When to ask for what is not there yet. A question that comes too early is a billed GET, one too late is lost time.

Ranks go in step, and all messages of a step are needed. So one is asked for at a time, first that of the source which
came last in the step before, and not before the time that the last steps took; once one is there, the others mostly
are, and are asked for at once.

Who waits makes the others wait, who take that for what a step takes. So the time is forgotten faster than it is
learned, and the first one is not learned at all from a rank that comes late: a second of a function costs as much as 80
questions. What a step takes depends on what is waited for, so there is a schedule for each kind of message.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from channels.transport import Key

# What is found at the first question may have been there for long: less time then. Else at most so much more.
FALL, RISE = 0.8, 1.2
# The first delay after a miss, of the usual time.
AGAIN = 1 / 8


@dataclass(frozen=True)
class Waiting:
    """How to wait for an object.

    start_s, cap_s: first and longest delay between two GETs. Each miss is a billed GET, and doubles it.
    """

    start_s: float = 0.005
    cap_s: float = 0.2


@dataclass
class Backoff:
    """Times of the questions for one thing: none before `due_s`, and each later by more than the one before.

    first_s: the first delay, if that is more than the least.
    """

    waiting: Waiting
    due_s: float
    first_s: float = 0.0
    delay_s: float = 0.0

    def missed(self, now: float) -> None:
        """Note that it was asked for in vain."""
        self.delay_s = min(self.waiting.cap_s, 2 * self.delay_s or max(self.waiting.start_s, self.first_s))
        self.due_s = now + self.delay_s * random.uniform(0.5, 1.0)


@dataclass
class Schedule:
    """What to ask for, and when.

    usual_s: how long the first question of a step waits, at most cap_s: what a step has lately taken to come. Less
             where that was long enough, so that a run which becomes faster is followed.
    """

    waiting: Waiting
    usual_s: float = 0.0
    _last_source: int = -1
    _misses: int = 0
    _step: tuple[int, int] | None = None
    _started_s: float = 0.0
    _next: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._next = Backoff(self.waiting, 0.0)

    def begin(self, keys: Sequence[Key], now: float) -> None:
        """Note what is waited for from now on."""
        step = (keys[0].tag.step, keys[0].tag.micro_batch)
        if step != self._step:
            self._step, self._started_s, self._misses = step, now, 0
            self._next = Backoff(self.waiting, now + min(self.usual_s, self.waiting.cap_s), AGAIN * self.usual_s)

    @property
    def due_s(self) -> float:
        """When to ask."""
        return self._next.due_s

    def sentinel(self, keys: Sequence[Key]) -> Key:
        """The one to ask for; each in turn, so that whichever comes is found."""
        first = next((i for i, key in enumerate(keys) if key.source == self._last_source), 0)
        return keys[(first + self._misses) % len(keys)]

    def asked(self, key: Key, found: bool, now: float) -> None:
        """Note the answer about the sentinel."""
        if not found:
            self._misses += 1
            self._next.missed(now)
            return
        took_s = now - self._started_s
        learned_s = min(took_s, RISE * self.usual_s + self.waiting.start_s)
        self.usual_s = learned_s if self._misses else FALL * self.usual_s
        self._last_source, self._misses = key.source, 0

    def missing(self, keys: Iterable[Key], now: float) -> None:
        """Note which of the others were not there when the sentinel was."""
        late = next(iter(keys), None)
        if late is not None:
            self._last_source = late.source
            self._next = Backoff(self.waiting, now)
            self._next.missed(now)
