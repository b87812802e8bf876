"""What a message is about, and what a receiver waits for. Program steps are >= 0, control steps negative."""

from __future__ import annotations

from typing import NamedTuple

HELLO = -1  # a slot is up and says what it holds
ASSIGN = -2  # rank 0 tells a slot its rank
REPORT = -3  # a slot's figures at the end of the run
ABORT = -4  # the run is over for everybody, with a reason


class Tag(NamedTuple):
    """Names one message between two slots; used once per (source, destination) in an attempt.

    step:        position in the program, or a control step (negative).
    micro_batch: which micro-batch of a pipeline; 0 where there is one.
    """

    step: int
    micro_batch: int = 0

    def __str__(self) -> str:
        return f"step {self.step} micro-batch {self.micro_batch}"
