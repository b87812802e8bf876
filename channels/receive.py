"""Receiving side of the queue channel: long polls in the background, deletes batched off the critical path.

A receive is started only when somebody waits, and goes on while the caller computes; so nothing is polled that nobody
expects, and at the end of a run no request is left behind that would swallow the next run's messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channels.background import Background
from channels.errors import FrameError
from channels.parcel import frames_in
from channels.publish import DATA, RELAYED_BODY
from channels.retry import Backoff, Failure, send_in_parts, service_errors
from channels.text import from_text
from channels.transport import Incoming
from costs.limits import SQS_BATCH, SQS_LONG_POLL

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

BATCH = SQS_BATCH.value
# What was received is deleted within this time of the next, long before the queues' visibility timeout is over.
DELETE_S = 5.0


@dataclass(frozen=True)
class Polling:
    """How to receive.

    wait_s:    longest long poll, 1 to 20 s. An empty receive costs 4e-7 USD, closing waits for one in flight.
    receivers: receives in flight at once while waiting.
    """

    wait_s: int = 5
    receivers: int = 1


class QueueReceiver:
    """Receives from the queue of one slot and deletes what was accepted."""

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        slot: int,
        polling: Polling,
        pool: Executor,
        backoff: Backoff,
        sleep: Callable[[float], None],
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._slot = slot
        self._polling = polling
        self._pool = pool
        self._backoff = backoff
        self._sleep = sleep
        self._receives: set[Future[list[Incoming]]] = set()
        self._deletes = Background(pool)
        self._receipts: list[str] = []
        self._delete_by = 0.0

    def poll(self, timeout_s: float, left_s: float) -> list[Incoming]:
        """Return the messages of one receive, or nothing after `timeout_s`; `left_s` until nobody waits any more.

        Raises:
            TransportError: if the service refuses the call after all retries.
        """
        self._delete_due()
        while len(self._receives) < self._polling.receivers:
            self._receives.add(self._pool.submit(self._receive, self._long_poll_s(left_s)))
        done, _ = wait(self._receives, timeout_s, return_when=FIRST_COMPLETED)
        return self._collect(next(iter(done))) if done else []

    @property
    def busy(self) -> bool:
        """Whether a receive is under way."""
        return bool(self._receives)

    def _long_poll_s(self, left_s: float) -> int:
        return max(1, min(self._polling.wait_s, SQS_LONG_POLL.value, int(left_s)))

    def _collect(self, receive: Future[list[Incoming]]) -> list[Incoming]:
        self._receives.discard(receive)
        return receive.result()

    def _receive(self, wait_s: int) -> list[Incoming]:
        with service_errors("sqs receive_message"):
            response = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=wait_s,
                MessageAttributeNames=[DATA],
            )
        return [arrived for message in response.get("Messages", []) for arrived in incoming(message, self._slot)]

    def quiesce(self) -> list[Incoming]:
        """Wait for the receives in flight and return their messages; none is started.

        Raises:
            TransportError: if the service refuses a call after all retries.
        """
        messages: list[Incoming] = []
        while self._receives:
            messages += self._collect(next(iter(self._receives)))
        return messages

    def delete(self, messages: Sequence[Incoming]) -> None:
        """Delete messages, by tens or after DELETE_S, in the background; the last few when drained."""
        if not self._receipts:
            self._delete_by = time.monotonic() + DELETE_S
        self._receipts += dict.fromkeys(m.receipt for m in messages)
        self._delete_due()

    def _delete_due(self) -> None:
        while len(self._receipts) >= BATCH:
            self._start_delete()
        if self._receipts and time.monotonic() > self._delete_by:
            self._start_delete()

    def _start_delete(self) -> None:
        batch, self._receipts = self._receipts[:BATCH], self._receipts[BATCH:]
        self._deletes.start(self._delete, batch)

    def _delete(self, receipts: Sequence[str]) -> None:
        send_in_parts("sqs delete_message_batch", receipts, self._delete_once, self._backoff, self._sleep)

    def _delete_once(self, receipts: Sequence[str]) -> Sequence[Failure]:
        with service_errors("sqs delete_message_batch"):
            response = self._sqs.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(receipts)],
            )
        return [Failure(int(f["Id"]), f["Code"], f["SenderFault"]) for f in response.get("Failed", [])]

    def release(self, messages: Sequence[Incoming]) -> None:
        """Make messages visible again at once, for whom they are meant; else they are after the queue's timeout."""
        for receipt in dict.fromkeys(message.receipt for message in messages):
            self._pool.submit(
                self._sqs.change_message_visibility,
                QueueUrl=self._queue_url,
                ReceiptHandle=receipt,
                VisibilityTimeout=0,
            )

    def drain(self) -> None:
        """Delete what is left to delete and wait for it.

        Raises:
            TransportError: if the service refuses a delete after all retries.
        """
        while self._receipts:
            self._start_delete()
        self._deletes.wait()


def incoming(message: MessageTypeDef, slot: int) -> list[Incoming]:
    """The frames of a message that are for `slot`, and with the first what it is to hand on.

    Of what is no parcel its text, or nothing that could be a frame.
    """
    body, receipt = message.get("Body", ""), message.get("ReceiptHandle", "")
    attribute = message.get("MessageAttributes", {}).get(DATA)
    parcel = attribute.get("BinaryValue", b"") if attribute else from_text(body)
    if parcel is None:
        return [Incoming(body, receipt)]
    try:
        frames = frames_in(parcel)
    except FrameError:
        return [Incoming(b"", receipt)]
    mine = [frame for destination, frame in frames if destination == slot]
    others = tuple(frame for frame in frames if frame[0] != slot) if body == RELAYED_BODY else ()
    first, *rest = mine or [b""]
    return [Incoming(first, receipt, others), *(Incoming(frame, receipt) for frame in rest)]
