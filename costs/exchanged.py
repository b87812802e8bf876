"""The calls that an exchange takes on each channel, and with them its price, before it is made.

On the queue a request per sender and 192 KiB of different bytes, which reaches every receiver, or messages to each
receiver's queue where these cost less; as objects one PUT per sender and round, one GET per message; hybrid takes the
cheaper one of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from costs.bill import make_bill
from costs.calls import CallCount, CallCounts, merge
from costs.limits import SNS_BATCH, SNS_BILLING_CHUNK, SNS_PAYLOAD, SQS_BATCH, SQS_BILLING_CHUNK

# As channels.publish has it: the most of a message; different messages share one below, go alone above, else are text.
_PUBLISH_BYTES = SNS_PAYLOAD.value * 3 // 4
_SHARED_BYTES = SQS_BILLING_CHUNK.value // SQS_BATCH.value
_ALONE_BYTES = SNS_BILLING_CHUNK.value * 3 // 4
_TEXT = 4 / 3


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


def channel_calls(channel: str, store: str) -> Callable[[Exchanged], CallCounts]:
    """The calls of an exchange on a channel, "hybrid", "object" or "queue".

    store: where objects lie, "s3" or "s3express".
    """
    ways: dict[str, Callable[[Exchanged], CallCounts]] = {
        "hybrid": partial(_by_hybrid, store),
        "object": partial(_by_object, store),
        "queue": _by_queue,
    }
    return ways[channel]


def _by_queue(step: Exchanged) -> CallCounts:
    rounds = max(1, step.rounds)
    got = step.nbytes / len(step.receivers) / rounds
    batches = (
        rounds * len(step.receivers) * max(1, _ceil(step.messages / rounds / len(step.receivers), SQS_BATCH.value))
    )
    sent: CallCounts = min(_by_topic(step), _to_queues(step), key=_calls_usd)
    return {
        **sent,
        "sqs:ReceiveMessage": CallCount(
            batches, max(batches, rounds * len(step.receivers) * _ceil(got, SQS_BILLING_CHUNK.value)), step.nbytes
        ),
        "sqs:DeleteMessageBatch": CallCount(batches, batches),
    }


def _by_topic(step: Exchanged) -> CallCounts:
    """Every sender has `different` payloads a round: in one message, each alone, or as text in batches."""
    publishes = max(1, step.rounds) * len(step.senders)
    sent = step.distinct / publishes
    if step.messages * step.distinct <= publishes * step.nbytes or sent <= _SHARED_BYTES:
        return _published(publishes, sent, step.distinct)
    different = step.messages * step.distinct / step.nbytes / publishes
    if sent / different > _ALONE_BYTES:
        return _published(round(publishes * different), sent / different, step.distinct)
    text = sent * _TEXT
    batches = publishes * max(_ceil(text, SNS_PAYLOAD.value), _ceil(different, SNS_BATCH.value))
    units = max(batches, publishes * _ceil(text, SNS_BILLING_CHUNK.value))
    return {"sns:PublishBatch": CallCount(batches, units, step.distinct)}


def _published(count: int, nbytes: float, distinct: int) -> CallCounts:
    """`count` messages of `nbytes`, cut where they must be."""
    requests, units = max(1, _ceil(nbytes, _PUBLISH_BYTES)), max(1, _ceil(nbytes, SNS_BILLING_CHUNK.value))
    return {"sns:Publish": CallCount(count * requests, count * units, distinct)}


def _to_queues(step: Exchanged) -> CallCounts:
    """A message for each reader, to its queue."""
    each = step.nbytes / step.messages
    requests, units = max(1, _ceil(each, _PUBLISH_BYTES)), max(1, _ceil(each, SQS_BILLING_CHUNK.value))
    return {"sqs:SendMessage": CallCount(step.messages * requests, step.messages * units, step.nbytes)}


def _by_object(store: str, step: Exchanged) -> CallCounts:
    return _objects(store, step, 2 * step.messages)  # the first GET of a message is a miss


def _objects(store: str, step: Exchanged, gets: int) -> CallCounts:
    puts = max(1, step.rounds) * len(step.senders)
    return {
        f"{store}:PutObject": CallCount(puts, puts, step.distinct),
        f"{store}:GetObject": CallCount(gets, gets, step.nbytes),
    }


def _by_hybrid(store: str, step: Exchanged) -> CallCounts:
    """By queue, or as an object per sender with tickets by queue, whichever is charged less."""
    tickets = _by_queue(replace(step, nbytes=0, distinct=0))
    return min(_by_queue(step), merge(tickets, _objects(store, step, step.messages)), key=_calls_usd)


def _calls_usd(calls: CallCounts) -> float:
    return make_bill(calls, ()).total


def _ceil(size: float, chunk: int) -> int:
    return int(-(-size // chunk))
