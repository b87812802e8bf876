"""The kinds of fault, and where each of them strikes.

A killing fault costs the attempt that it strikes: a process dies or a message never comes. The others must cost nothing
but time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

# What a fault's `at` counts, from 0: frames that the slot sends in the attempt, HTTP requests of its invocation, calls
# of its channel; a start strikes as such.
Place = Literal["frame", "request", "step", "start"]


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    killing: the attempt cannot survive it.
    slots:   which slots it may strike: "any", "workers" or "rank 0".
    """

    place: Place
    killing: bool
    slots: Literal["any", "workers", "rank 0"] = "any"


KINDS: Final[Mapping[str, Kind]] = {
    # A frame that the service never sees, though its sender believes so.
    "drop": Kind("frame", killing=True),
    "truncate": Kind("frame", killing=True),
    "corrupt": Kind("frame", killing=True),
    "duplicate": Kind("frame", killing=False),
    "delay": Kind("frame", killing=False),
    "reorder": Kind("frame", killing=False),
    # A second copy that comes when its sender has left the run.
    "late": Kind("frame", killing=False, slots="workers"),
    # What AWS answers instead of doing it, or instead of saying that it did.
    "throttle": Kind("request", killing=False),
    "server_error": Kind("request", killing=False),
    "disconnect": Kind("request", killing=False),
    "lost_answer": Kind("request", killing=False),
    # The asynchronous invocation that starts a worker.
    "duplicate_start": Kind("start", killing=False, slots="workers"),
    "throttled_start": Kind("start", killing=True, slots="workers"),
    "never_start": Kind("start", killing=True, slots="workers"),
    # The process itself.
    "kill": Kind("step", killing=True, slots="workers"),
    "memory": Kind("step", killing=True),
    # It neither works nor dies, and goes on when others have taken its place.
    "freeze": Kind("step", killing=True),
    "kill_rank_0": Kind("step", killing=True, slots="rank 0"),
}


@dataclass(frozen=True)
class Fault:
    """One fault of one run.

    kind:    a name of KINDS.
    attempt: the attempt that it strikes, from 1.
    slot:    the slot that it strikes.
    at:      where, as the kind's place counts.
    times:   how many requests in a row it strikes; 1 for other places.
    """

    kind: str
    attempt: int
    slot: int
    at: int = 0
    times: int = 1

    @property
    def killing(self) -> bool:
        """Whether the attempt cannot survive it."""
        return KINDS[self.kind].killing

    @property
    def place(self) -> Place:
        """What `at` counts."""
        return KINDS[self.kind].place
