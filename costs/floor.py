"""The least that a run can cost and take, known before it starts: what every run does, however small its tensors are.

The manifest's info says which exchanges its programs cannot do without (partition/least.py): `least_sends` requests to
send over all ranks, and `least_meetings` messages on every rank that follow one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from costs.bill import make_bill
from costs.calls import CallCount
from costs.usage import LambdaUsage

# Rank 0 writes request and record, and with several ranks takes and returns a lane; each worker claims its slot.
PUTS, LANE_PUTS, CLAIM_PUTS = 2, 2, 1
# Each worker says hello and reports, and is told its rank; these messages are received at best in batches.
MESSAGES = 3
# Lambda charges by the millisecond. A message takes 10 ms from a topic to a queue at the least (channels/queue.py).
LEAST_S = 0.001
MESSAGE_S = 0.01


@dataclass(frozen=True)
class Floor:
    """A run cannot cost less than `usd`, nor end in fewer than `seconds`."""

    usd: float
    seconds: float


def floor_of(workers: int, memory_mb: int, info: Mapping[str, object]) -> Floor:
    """Of a run of `workers` ranks in functions of `memory_mb`; info: of the manifest."""
    others = workers - 1
    sends, meetings = _count(info, "least_sends"), _count(info, "least_meetings")
    seconds = LEAST_S + ((MESSAGES + meetings) * MESSAGE_S if others else 0.0)
    puts = PUTS + (LANE_PUTS + others * CLAIM_PUTS if others else 0)
    calls = {"s3:PutObject": CallCount(puts, puts, 0)}
    if others:
        # The cheapest way to send: a publish costs a quarter more, an object ten times as much.
        calls["sqs:SendMessage"] = CallCount(others + 1 + sends, others + 1 + sends, 0)
        calls["sqs:ReceiveMessage"] = CallCount(others + 1, others + 1, 0)
    usage = [LambdaUsage("infer", memory_mb, seconds * 1000) for _ in range(workers)]
    return Floor(make_bill(calls, usage).usd["total"], seconds)


def _count(info: Mapping[str, object], name: str) -> int:
    value = info.get(name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
