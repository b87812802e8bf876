"""When to ask for what is not there yet. A question that comes too early is a billed GET, one too late is lost time.

Ranks go in step, and all messages of a step are needed. So one is asked for at a time, first that of the source which
came last in the step before, and not before the time that the last steps took; once one is there, the others mostly
are, and are asked for at once.

What was found says when it was put, by its writer's clock. When it was last asked for in vain, and when it was found,
bounds the time from a put until it is found, by the own clock; so who asked too late knows by about how much, and asks
sooner the next time. Else who waits would make the others wait, who would take that for what a step takes. That
depends on what is waited for, so there is a schedule for each kind of message.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from channels.transport import Key

# How much of what a step took goes into what one is taken to take, at least: the first ones count alike.
SHARE = 0.25
UNCOUNTED = 2
# Objects of a writer that tell how long after a put one is found: a clock that is another from one step to the next, as
# that of a process that goes on for another may be, is believed after as many.
REMEMBERED = 16
# The first delay after a miss, of the usual time.
AGAIN = 1 / 4


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


@dataclass(frozen=True)
class Answer:
    """A question that found something.

    asked_s: when it was asked. put_s: when that was put, by the clock of `source`; None if it is not known.
    """

    source: int
    asked_s: float
    put_s: float | None


@dataclass
class Delays:
    """From a writer's puts, by its clock, until they could be found, by the own one, in seconds: bounds, latest last.

    found: questions that found something. missed: the last ones before in vain. begun: the waits' begin.
    """

    found: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    missed: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    begun: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    @property
    def usual_s(self) -> float:
        """The middle of the bounds; where nothing was asked for in vain, it may have been there from the begin on."""
        most = min(self.found)
        least = max(self.missed) if self.missed else min(self.begun)
        return (min(least, most) + most) / 2


@dataclass
class Schedule:
    """What to ask for, and when.

    usual_s: how long the first question of a step waits: what one has lately taken to come, each at most cap_s. The
             first steps are not counted: ranks do not begin at the same time, and who comes late finds the others' at
             once, or has been waited for in the second.
    """

    waiting: Waiting
    usual_s: float = 0.0
    _steps: int = 0
    _last_source: int = -1
    _misses: int = 0
    _step: tuple[int, int] | None = None
    _started_s: float = 0.0
    _missed_s: dict[int, float] = field(default_factory=dict)
    _delays: dict[int, Delays] = field(default_factory=dict)
    _next: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._next = Backoff(self.waiting, 0.0)

    def begin(self, keys: Sequence[Key], now: float) -> bool:
        """Note what is waited for from now on; return whether that is another step."""
        step = (keys[0].tag.step, keys[0].tag.micro_batch)
        if step == self._step:
            return False
        self._step, self._started_s, self._misses = step, now, 0
        self._missed_s.clear()
        self._next = Backoff(self.waiting, now + self.usual_s, AGAIN * self.usual_s)
        return True

    @property
    def due_s(self) -> float:
        """When to ask."""
        return self._next.due_s

    def sentinel(self, keys: Sequence[Key]) -> Key:
        """The one to ask for; each in turn, so that whichever comes is found."""
        first = next((i for i, key in enumerate(keys) if key.source == self._last_source), 0)
        return keys[(first + self._misses) % len(keys)]

    def missed(self, key: Key, asked_s: float, now: float) -> None:
        """Note that the sentinel was not there."""
        self._misses += 1
        self._missed_s[key.source] = asked_s
        self._next.missed(now)

    def found(self, answers: Sequence[Answer], late: Sequence[int], now: float) -> None:
        """Note the sentinel's answer, and those of the others; late: sources of which nothing was there yet."""
        since = {answer.source: self._there_s(answer) for answer in answers}
        self._last_source, self._misses = late[0] if late else max(since, key=since.__getitem__), 0
        if late:
            self._missed_s |= dict.fromkeys(late, answers[0].asked_s)
            self._next = Backoff(self.waiting, now)
            self._next.missed(now)
        else:
            self._learn(max(since.values()) - self._started_s)

    def _learn(self, took_s: float) -> None:
        if self._steps >= UNCOUNTED:
            share = max(SHARE, 1 / (self._steps - UNCOUNTED + 1))
            self.usual_s += share * (min(max(0.0, took_s), self.waiting.cap_s) - self.usual_s)
        self._steps += 1

    def _there_s(self, answer: Answer) -> float:
        """From when on a question had found what this one did, by the own clock."""
        if answer.put_s is None or not self._steps:
            return answer.asked_s
        delays = self._delays.setdefault(answer.source, Delays())
        delays.found.append(answer.asked_s - answer.put_s)
        delays.begun.append(self._started_s - answer.put_s)
        if answer.source in self._missed_s:
            delays.missed.append(self._missed_s[answer.source] - answer.put_s)
        return answer.put_s + delays.usual_s
