"""Tells rank 0, while it hears nothing, whether anybody is still at work: a frozen worker or a lost message is no work.

A frozen worker gives no sign of life. One that found nobody who drives the run has left, and says so. After a lost
message all ranks wait for each other, and all say so: they have been idle together for longer than any sign is old, so
whatever could wake one of them has been on its way for seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from runs.claims import PULSE_S, Claims, Pulse
from runs.faults import Fault

# A living worker misses no four renewals, and no message is on its way for that long less the age of a sign.
SILENT_S = 4 * PULSE_S
IDLE_S = 4 * PULSE_S
FRESH_S = 2 * PULSE_S


class Vigil:
    """Over the workers of one attempt.

    waiting: the slots that have not said their last word.
    idle_s:  of rank 0's own channel.
    """

    def __init__(self, claims: Claims, waiting: Callable[[], Iterable[int]], idle_s: Callable[[], float]) -> None:
        self._claims = claims
        self._waiting = waiting
        self._idle_s = idle_s

    def verdict(self) -> Fault | None:
        """Why nothing more will come; None while somebody is at work, or it cannot be told."""
        if self._idle_s() < IDLE_S:
            return None
        pulses = self._claims.pulses(self._waiting())
        return absent(pulses) or _stuck(pulses)


def absent(pulses: Sequence[Pulse]) -> Fault | None:
    """The first of these workers, who have not said their last word, that will not say it."""
    for pulse in pulses:
        if pulse.left:
            return Fault(pulse.slot, "Left", "its process has left the run")
        if pulse.age_s >= SILENT_S:
            return Fault(pulse.slot, "Silent", f"no sign of life for {pulse.age_s:.0f} s")
    return None


def _stuck(pulses: Sequence[Pulse]) -> Fault | None:
    if not pulses or any(pulse.idle_s < IDLE_S or pulse.age_s > FRESH_S for pulse in pulses):
        return None
    return Fault(0, "Stalled", f"all ranks have been waiting for {IDLE_S:g} s: a message is lost")
