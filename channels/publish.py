"""Sending side of the queue channel: frames packed into as few SNS PublishBatch calls as fit, sent at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channels.retry import Backoff, Failure, send_in_parts, service_errors
from channels.text import to_text
from channels.transport import Outgoing

if TYPE_CHECKING:
    from types_boto3_sns.client import SNSClient
    from types_boto3_sns.type_defs import (
        MessageAttributeValueTypeDef,
        PublishBatchRequestEntryTypeDef,
        PublishBatchResponseTypeDef,
    )

ATTRIBUTE = "slot"
ATTRIBUTE_TYPE = "String"  # Binary attributes are dropped by the emulator's PublishBatch
MAX_ENTRIES = 10


@dataclass(frozen=True)
class Entry:
    """One message to publish: `slot` selects the subscription, `body` is text."""

    slot: str
    body: str

    @property
    def size(self) -> int:
        """Bytes that count: body, and name, type and value of the attribute."""
        return len(self.body) + attribute_bytes(self.slot)


def attribute_bytes(slot: str) -> int:
    """Return the bytes of the attribute that routes a message to `slot`."""
    return len(ATTRIBUTE) + len(ATTRIBUTE_TYPE) + len(slot)


def plan_batches(entries: Iterable[Entry], max_bytes: int) -> list[list[Entry]]:
    """Pack entries, largest first into the first batch with room: at most MAX_ENTRIES and `max_bytes` in each."""
    batches: list[list[Entry]] = []
    room: list[int] = []
    for entry in sorted(entries, key=lambda e: e.size, reverse=True):
        i = next((i for i, left in enumerate(room) if entry.size <= left and len(batches[i]) < MAX_ENTRIES), None)
        if i is None:
            batches.append([entry])
            room.append(max_bytes - entry.size)
        else:
            batches[i].append(entry)
            room[i] -= entry.size
    return batches


class TopicSender:
    """Publishes to a topic whose subscriptions select by slot."""

    def __init__(
        self, sns: SNSClient, topic_arn: str, pool: Executor, backoff: Backoff, sleep: Callable[[float], None]
    ) -> None:
        self._sns = sns
        self._topic_arn = topic_arn
        self._pool = pool
        self._backoff = backoff
        self._sleep = sleep

    def put(self, messages: Sequence[Outgoing], max_batch_bytes: int) -> None:
        """Publish frames; several batches at the same time.

        Raises:
            TransportError: if the service refuses some after all retries.
        """
        batches = _batches(messages, max_batch_bytes)
        if len(batches) == 1:
            self._publish(batches[0])
        else:
            list(self._pool.map(self._publish, batches))

    def price(self, messages: Sequence[Outgoing], max_batch_bytes: int) -> list[tuple[str, int]]:
        """Operation and payload bytes of each call that `put` would make."""
        return [
            ("sns:PublishBatch", sum(entry.size for entry in batch)) for batch in _batches(messages, max_batch_bytes)
        ]

    def _publish(self, batch: Sequence[Entry]) -> None:
        send_in_parts("sns publish_batch", batch, self._publish_once, self._backoff, self._sleep)

    def _publish_once(self, batch: Sequence[Entry]) -> Sequence[Failure]:
        entries = [_request_entry(str(i), entry) for i, entry in enumerate(batch)]
        with service_errors("sns publish_batch"):
            response = self._sns.publish_batch(TopicArn=self._topic_arn, PublishBatchRequestEntries=entries)
        return _failures(response)


def _batches(messages: Sequence[Outgoing], max_batch_bytes: int) -> list[list[Entry]]:
    return plan_batches((Entry(str(m.key.destination), to_text(m.data)) for m in messages), max_batch_bytes)


def _request_entry(number: str, entry: Entry) -> PublishBatchRequestEntryTypeDef:
    value: MessageAttributeValueTypeDef = {"DataType": ATTRIBUTE_TYPE, "StringValue": entry.slot}
    return {"Id": number, "Message": entry.body, "MessageAttributes": {ATTRIBUTE: value}}


def _failures(response: PublishBatchResponseTypeDef) -> list[Failure]:
    return [Failure(int(f["Id"]), f["Code"], f.get("SenderFault", False)) for f in response.get("Failed", [])]
