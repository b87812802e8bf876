"""When to ask a queue for the messages of a step. Asked too early it gives a part, and the rest is another call.

Ranks go in step: they are done with a step at about the same time, and so with the next one, about as much later as the
last steps took. A rank that is early waits for that before it makes its first receive; one that is late makes it at
once. What is missing then is left some time to come, too: a receive costs as much as 10 ms of a function do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from channels.tags import Tag
from channels.transport import Key

# docs/adr/0044 has what other values gave in a simulation: a faster rise or a slower fall saves calls and takes time.
RISE, FALL = 1.1, 0.98
FIRST_S, MOST_S = 0.03, 0.25
MOST_AGAIN_S = 0.02


@dataclass
class Pace:
    """The steps' usual length, learned: longer when the first receive found a part only, else shorter.

    usual_s: from the end of a step to the first receive of the next.
    """

    usual_s: float = 0.0
    _tag: Tag | None = None
    _missed: bool = False
    _got_s: float = 0.0
    _ended_s: float | None = None

    def due_s(self, expected: Sequence[Key], now: float) -> float:
        """When to make the next receive for what is expected; control messages are not waited for."""
        tag = expected[0].tag
        if tag.step < 0:
            return now
        if tag == self._tag:
            self._missed = True
            return now + min(self.usual_s / 5, MOST_AGAIN_S)
        self._end_step(tag)
        return now if self._ended_s is None else self._ended_s + self.usual_s

    def got(self, now: float) -> None:
        """Note that a receive has brought something: the last one of a step is its end."""
        self._got_s = now

    def _end_step(self, following: Tag) -> None:
        if self._tag is not None and self._ended_s is not None:
            self._learn(self._got_s - self._ended_s)
        if self._tag is not None:
            self._ended_s = self._got_s
        self._tag, self._missed = following, False

    def _learn(self, took_s: float) -> None:
        if self._missed:
            self.usual_s = min(MOST_S, max(self.usual_s * RISE, min(took_s / 2, FIRST_S)))
        else:
            self.usual_s *= FALL
