"""What a machine noted about each instruction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One executed instruction.

    op:             kernel name, exchange kind, or "free".
    seconds:        wall time, waiting included.
    wait_seconds:   of these, in the channel's receive.
    live_bytes:     bytes of all tensors held afterwards.
    live_samples:   samples left in the LiveTensor that it made; None if it made none.
    sent_bytes, received_bytes: tensor bytes before encoding.
    sent_messages:  messages to other ranks.
    """

    step: int
    op: str
    layer: str
    seconds: float
    wait_seconds: float = 0.0
    live_bytes: int = 0
    live_samples: int | None = None
    sent_bytes: int = 0
    received_bytes: int = 0
    sent_messages: int = 0
