"""The calls that an exchange takes on each channel, and with them its price, before it is made.

On the queue a request per sender and 192 KiB of different bytes, which reaches every receiver, or messages to each
receiver's queue where these cost less; as objects one PUT per sender and round, one GET per message; hybrid takes the
cheaper one of the two. Where a rank hands on, on the queue a message from each sender to it, and one from it to all; as
objects a GET per sender and receiver, and as many PUTs as without: its own rows go with the others'.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from costs.bill import make_bill
from costs.calls import CallCount, CallCounts, merge
from costs.limits import LAMBDA_MEMORY_PER_VCPU, SNS_BATCH, SNS_BILLING_CHUNK, SNS_PAYLOAD, SQS_BATCH, SQS_BILLING_CHUNK
from costs.prices import PRICES

# As channels.publish has it: the most of a message; different messages share one below, go alone above, else are text.
_PUBLISH_BYTES = SNS_PAYLOAD.value * 3 // 4
_SHARED_BYTES = SQS_BILLING_CHUNK.value // SQS_BATCH.value
_ALONE_BYTES = SNS_BILLING_CHUNK.value * 3 // 4
_TEXT = 4 / 3
_VCPU_USD = LAMBDA_MEMORY_PER_VCPU.value / 1024 * PRICES["lambda.gb_second.x86_64"].usd  # a second of one vCPU
# By channel, how much later everybody goes on where a rank hands on: a PUT and a GET of a small object; a message to a
# queue directly. Assumed, not measured on AWS.
RELAY_S = {"object": 0.04, "queue": 0.015}
# As channels.relay has it: a source that has more sends it as it would without.
_RELAYED_BYTES = {"object": 128 << 10, "queue": 32 << 10}
# Of one vCPU, for a call of the SDK: most of the CPU time that a rank takes on a small network (bench/results).
CALL_S = 0.003


@dataclass(frozen=True)
class Exchanged:
    """Tensors on the way.

    nbytes:   that arrive; distinct: that differ, as a frame for many is sent once.
    messages: from one rank to one other; rounds: of waiting, one after another.
    relayed:  the kinds of channel, "object" or "queue", on which one of the ranks hands on what all send.
    """

    senders: tuple[int, ...]
    receivers: tuple[int, ...]
    nbytes: int
    distinct: int
    messages: int
    rounds: int
    relayed: tuple[str, ...] = ()

    def is_handed_on(self, channel: str) -> bool:
        """Whether a rank does hand on, on "object" or "queue", by what all send on average."""
        return channel in self.relayed and self.distinct <= _RELAYED_BYTES[channel] * len(self.senders)


def relay_delay_s(step: Exchanged, channel: str) -> float:
    """How much later an exchange ends on a channel because a rank hands on."""
    kind = "object" if channel == "object" else "queue"
    return RELAY_S[kind] if step.is_handed_on(kind) else 0.0


def relay_pays(senders: int, readers: int, messages: int) -> tuple[str, ...]:
    """The kinds of channel on which it costs less that one of the ranks hands on what all send in small messages.

    Requests and CPU time that are saved, against the time that everybody waits longer, in functions of one vCPU.
    """
    if not messages:
        return ()
    ways: dict[str, Callable[[Exchanged], CallCounts]] = {"object": partial(_by_object, "s3"), "queue": _by_queue}
    direct = Exchanged(tuple(range(senders)), tuple(range(readers)), 0, 0, messages, 1)
    relayed = replace(direct, relayed=tuple(ways))
    wait_usd = {kind: max(senders, readers) * RELAY_S[kind] * _VCPU_USD for kind in ways}
    return tuple(kind for kind, way in ways.items() if _usd_of(way(direct)) > _usd_of(way(relayed)) + wait_usd[kind])


def _usd_of(calls: CallCounts) -> float:
    return _calls_usd(calls) + sum(count.requests for count in calls.values()) * CALL_S * _VCPU_USD


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
    if step.is_handed_on("queue"):
        return _by_relay(step)
    sent: CallCounts = min(_by_topic(step), _to_queues(step), key=_calls_usd)
    deletes = _ceil(step.messages, SQS_BATCH.value)
    return {
        **sent,
        "sqs:ReceiveMessage": CallCount(
            batches, max(batches, rounds * len(step.receivers) * _ceil(got, SQS_BILLING_CHUNK.value)), step.nbytes
        ),
        "sqs:DeleteMessageBatch": CallCount(deletes, deletes),
    }


def _by_relay(step: Exchanged) -> CallCounts:
    """A message from each sender to the queue of who hands on, which is one of them, and one from there to all."""
    to, readers = len(step.senders) - 1, len(step.receivers) - 1
    all_units, to_units = (_ceil(max(1, step.distinct / n), SNS_BILLING_CHUNK.value) for n in (1, max(1, to)))
    units = _ceil(to, SQS_BATCH.value) * to_units + readers * all_units
    receives, deletes = _ceil(to, SQS_BATCH.value) + readers, _ceil(to + readers, SQS_BATCH.value)
    return {
        "sqs:SendMessage": CallCount(to, to * to_units, step.distinct),
        "sns:Publish": CallCount(all_units, all_units, step.distinct),
        "sqs:ReceiveMessage": CallCount(receives, max(receives, units), step.nbytes + step.distinct),
        "sqs:DeleteMessageBatch": CallCount(deletes, deletes),
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
    misses = max(1, step.rounds) * len(step.receivers)  # one is asked for until it is there, then the others
    if step.is_handed_on("object"):
        return _objects(store, step, len(step.senders) + len(step.receivers) - 2 + misses, 2 * step.distinct)
    return _objects(store, step, step.messages + misses, step.distinct)


def _objects(store: str, step: Exchanged, gets: int, put_bytes: int) -> CallCounts:
    puts = max(1, step.rounds) * len(step.senders)
    return {
        f"{store}:PutObject": CallCount(puts, puts, put_bytes),
        f"{store}:GetObject": CallCount(gets, gets, step.nbytes),
    }


def _by_hybrid(store: str, step: Exchanged) -> CallCounts:
    """By queue, or as an object per sender with tickets by queue, whichever is charged less."""
    tickets = _by_queue(replace(step, nbytes=0, distinct=0))
    return min(_by_queue(step), merge(tickets, _objects(store, step, step.messages, step.distinct)), key=_calls_usd)


def _calls_usd(calls: CallCounts) -> float:
    return make_bill(calls, ()).total


def _ceil(size: float, chunk: int) -> int:
    return int(-(-size // chunk))
