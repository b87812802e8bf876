"""What a run will take, before it is made: seconds, calls and US dollars of computation and exchanges in order.

A walk with a clock per rank: ranks compute for the seconds given, an exchange makes its receivers wait for the last
sender. Calls follow from how the channels send: on the queue a request per sender and 192 KiB of different bytes, which
reaches every receiver; as objects one PUT per sender and round, one GET per message; hybrid takes the cheaper one of
the two. Prices are those of the bill; seconds are an estimate, good for comparing ways to divide one model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from costs.bill import Bill, make_bill
from costs.calls import CallCount, merge
from costs.limits import SNS_BILLING_CHUNK, SQS_BATCH, SQS_BILLING_CHUNK
from costs.usage import LambdaUsage

# Middle of what the channels' docstrings say of a message's latency; a function of 1,769 MB has about 75 MB/s.
LATENCY_S: Mapping[str, float] = {"hybrid": 0.03, "object": 0.06, "queue": 0.03}
BYTES_PER_S = 75e6
# A warm asynchronous start, and hello, assignment and report around the program.
START_S = 0.15
_PUBLISH_BYTES = 3 * SNS_BILLING_CHUNK.value


@dataclass(frozen=True)
class Computed:
    """Seconds that ranks compute, by rank."""

    seconds: Mapping[int, float]


@dataclass(frozen=True)
class Exchanged:
    """Tensors on the way.

    nbytes:   that arrive; distinct: that differ, as a frame for many is sent once.
    messages: from one rank to one other; rounds: of waiting, one after another.
    """

    senders: tuple[int, ...]
    receivers: tuple[int, ...]
    nbytes: int
    distinct: int
    messages: int
    rounds: int


@dataclass(frozen=True)
class Prediction:
    """seconds: until rank 0 has the answer; lambda_s: of all functions; calls: by operation; bill: at list prices."""

    channel: str
    seconds: float
    lambda_s: float
    calls: Mapping[str, CallCount]
    bill: Bill

    @property
    def usd(self) -> float:
        """US dollars in all."""
        return self.bill.total


def predict(
    steps: Iterable[Computed | Exchanged], workers: int, channel: str, memory_mb: int, start_s: float = START_S
) -> Prediction:
    """Seconds, calls and price of a warm run; `steps` in an order that every rank follows.

    channel: "hybrid", "object" or "queue".
    """
    clocks = [0.0 if workers == 1 else start_s] * workers
    calls = [_fixed_calls(workers, channel)]
    for step in steps:
        if isinstance(step, Computed):
            for rank, seconds in step.seconds.items():
                clocks[rank] += seconds
        elif step.messages:
            _wait(clocks, step, LATENCY_S[channel])
            calls.append(_CALLS[channel](step))
    counted = merge(*calls)
    usage = [LambdaUsage("", memory_mb, max(1.0, clock * 1000)) for clock in clocks]
    return Prediction(channel, clocks[0], sum(clocks), counted, make_bill(counted, usage))


def _wait(clocks: list[float], step: Exchanged, latency_s: float) -> None:
    """Receivers go on when the last sender's bytes are there; a sender goes on at once."""
    sent = max(clocks[rank] for rank in step.senders)
    ready = sent + step.rounds * latency_s + step.nbytes / len(step.receivers) / BYTES_PER_S
    for rank in step.receivers:
        clocks[rank] = max(clocks[rank], ready)


def _by_queue(step: Exchanged) -> Mapping[str, CallCount]:
    rounds = max(1, step.rounds)
    sent = step.distinct / len(step.senders) / rounds
    got = step.nbytes / len(step.receivers) / rounds
    publishes = rounds * len(step.senders)
    operation = "sns:Publish" if step.messages > publishes else "sqs:SendMessage"  # what one rank reads goes directly
    batches = (
        rounds * len(step.receivers) * max(1, _ceil(step.messages / rounds / len(step.receivers), SQS_BATCH.value))
    )
    return {
        operation: CallCount(
            publishes * max(1, _ceil(sent, _PUBLISH_BYTES)),
            publishes * max(1, _ceil(sent, SNS_BILLING_CHUNK.value)),
            step.distinct,
        ),
        "sqs:ReceiveMessage": CallCount(
            batches, max(batches, rounds * len(step.receivers) * _ceil(got, SQS_BILLING_CHUNK.value)), step.nbytes
        ),
        "sqs:DeleteMessageBatch": CallCount(batches, batches),
    }


def _by_object(step: Exchanged) -> Mapping[str, CallCount]:
    puts = max(1, step.rounds) * len(step.senders)
    return {
        "s3:PutObject": CallCount(puts, puts, step.distinct),
        "s3:GetObject": CallCount(2 * step.messages, 2 * step.messages, step.nbytes),  # the first one is a miss
    }


def _by_hybrid(step: Exchanged) -> Mapping[str, CallCount]:
    """By queue, or as an object per sender with tickets by queue, whichever is charged less."""
    rounds = max(1, step.rounds)
    puts = rounds * len(step.senders)
    objects = {
        "s3:PutObject": CallCount(puts, puts, step.distinct),
        "s3:GetObject": CallCount(step.messages, step.messages, step.nbytes),
    }
    ways = (_by_queue(step), merge(_by_queue(replace(step, nbytes=0, distinct=0)), objects))
    return min(ways, key=lambda calls: make_bill(calls, ()).total)


_CALLS: Mapping[str, Callable[[Exchanged], Mapping[str, CallCount]]] = {
    "hybrid": _by_hybrid,
    "object": _by_object,
    "queue": _by_queue,
}


def _ceil(size: float, chunk: int) -> int:
    return int(-(-size // chunk))


def _fixed_calls(workers: int, channel: str) -> Mapping[str, CallCount]:
    """Claim, lease and record of a warm run; per worker a start, its claim, hello, assignment and report."""
    others = workers - 1
    puts, gets = 3 + others, 3 + others
    fixed = {"s3:PutObject": CallCount(puts, puts), "s3:GetObject": CallCount(gets, gets)}
    if not others:
        return fixed
    everybody, root = tuple(range(workers)), (0,)
    hello = Exchanged(everybody[1:], root, 0, 0, others, 1)
    assign = Exchanged(root, everybody[1:], 0, 0, others, 1)
    control: Sequence[Mapping[str, CallCount]] = [_CALLS[channel](step) for step in (hello, assign, hello)]
    return merge(fixed, {"lambda:Invoke": CallCount(others, others)}, *control)
