"""What a run will take, before it is made: seconds, calls and US dollars of computation and exchanges in order.

A walk with a clock per rank: ranks compute for the seconds given, an exchange makes its receivers wait for the last
sender. Calls are those of costs.exchanged, prices those of the bill; seconds are an estimate, good for comparing ways
to divide one model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from costs.bill import Bill, make_bill
from costs.calls import CallCount, CallCounts, merge
from costs.exchanged import Exchanged, channel_calls, relay_delay_s
from costs.usage import LambdaUsage

# Middle of what the channels' docstrings say of a message's latency; a function of 1,769 MB has about 75 MB/s.
LATENCY_S: Mapping[str, float] = {"hybrid": 0.03, "object": 0.06, "queue": 0.03}
BYTES_PER_S = 75e6
# A warm asynchronous start, and hello, assignment and report around the program.
START_S = 0.15


@dataclass(frozen=True)
class Computed:
    """Seconds that ranks compute, by rank."""

    seconds: Mapping[int, float]


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
    steps: Iterable[Computed | Exchanged],
    workers: int,
    channel: str,
    memory_mb: int,
    *,
    express: bool = False,
    start_s: float = START_S,
) -> Prediction:
    """Seconds, calls and price of a warm run; `steps` in an order that every rank follows.

    channel: "hybrid", "object" or "queue".
    express: whether what ranks exchange as objects lies in S3 Express One Zone.
    """
    clocks = [0.0 if workers == 1 else start_s] * workers
    price = channel_calls(channel, "s3express" if express else "s3")
    made = Counter[Exchanged]()  # a deep model makes few different ones, many times
    for step in steps:
        if isinstance(step, Computed):
            for rank, seconds in step.seconds.items():
                clocks[rank] += seconds
        elif step.messages:
            _wait(clocks, step, LATENCY_S[channel], relay_delay_s(step, channel))
            made[step] += 1
    repeated = ({name: one * times for name, one in price(step).items()} for step, times in made.items())
    counted = merge(_fixed_calls(workers, price), *repeated)
    usage = [LambdaUsage("", memory_mb, max(1.0, clock * 1000)) for clock in clocks]
    return Prediction(channel, clocks[0], sum(clocks), counted, make_bill(counted, usage))


def _wait(clocks: list[float], step: Exchanged, latency_s: float, relay_s: float) -> None:
    """Receivers go on when the last sender's bytes are there; a sender goes on at once."""
    sent = max(clocks[rank] for rank in step.senders)
    ready = sent + step.rounds * latency_s + relay_s + step.nbytes / len(step.receivers) / BYTES_PER_S
    for rank in step.receivers:
        clocks[rank] = max(clocks[rank], ready)


def _fixed_calls(workers: int, price: Callable[[Exchanged], CallCounts]) -> CallCounts:
    """Claim, lease and record of a warm run; per worker a start, its claim, hello, assignment and report."""
    others = workers - 1
    puts, gets = 3 + others, 3 + others
    fixed = {"s3:PutObject": CallCount(puts, puts), "s3:GetObject": CallCount(gets, gets)}
    if not others:
        return fixed
    everybody, root = tuple(range(workers)), (0,)
    hello = Exchanged(everybody[1:], root, 0, 0, others, 1)
    assign = Exchanged(root, everybody[1:], 0, 0, others, 1)
    return merge(fixed, {"lambda:Invoke": CallCount(others, others)}, *map(price, (hello, assign, hello)))
