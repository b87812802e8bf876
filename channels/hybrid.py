"""Channel over a lane for what is small and S3 for what is large: of each send, whichever is cheaper by list prices.

Latency: that of the queue for small messages, that of the queue and of S3 for large ones. Price: what is less. One
message for one reader is worth an object from about 450 KiB on, for seven readers from about 200 KiB on; in S3 Express
One Zone from about 200 KiB and 65 KiB on.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channels.config import ChannelConfig, ChannelHooks
from channels.exchange_folder import ExchangeFolder
from channels.inbox import Buffer
from channels.object_reader import get_range
from channels.outbox import PayloadGroup
from channels.publish import Request
from channels.queue import QueueChannel, QueueSettings
from channels.ticket import check_claimed, is_ticket, pack_ticket, read_ticket, worth_an_object, write_tickets
from channels.transport import Outgoing

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_sns.client import SNSClient
    from types_boto3_sqs.client import SQSClient


@dataclass(frozen=True)
class HybridSettings:
    """A lane, and where large payloads are kept: see QueueSettings and ObjectSettings."""

    queue: QueueSettings
    bucket: str
    prefix: str


class HybridChannel(QueueChannel):
    """One slot's end of a lane whose large payloads lie on S3."""

    def __init__(
        self,
        config: ChannelConfig,
        settings: HybridSettings,
        *,
        sns: SNSClient,
        sqs: SQSClient,
        s3: S3Client,
        hooks: ChannelHooks | None = None,
    ) -> None:
        super().__init__(config, settings.queue, sns=sns, sqs=sqs, hooks=hooks)
        self._folder = ExchangeFolder(s3, settings.bucket, settings.prefix, config.run_id)
        self._s3 = s3
        self._bucket = settings.bucket
        self._objects = f"{settings.prefix}{config.attempt}-{config.epoch}/"
        self._storing: Future[None] | None = None

    def _stash(self, groups: Sequence[PayloadGroup]) -> list[PayloadGroup]:
        """Start to put the payloads that are worth it into one object, and send tickets in their place."""
        chosen = worth_an_object([(slots, payload) for slots, _, payload in groups], self._bucket)
        if not chosen:
            return list(groups)
        payloads = [groups[i][2] for i in chosen]
        tickets = write_tickets(payloads)
        name = self._objects + tickets[0].name
        self._storing = self._pool.submit(self._folder.put, name, b"".join(payloads))
        packed = dict(zip(chosen, map(pack_ticket, tickets), strict=True))
        return [(slots, tag, packed.get(i, payload)) for i, (slots, tag, payload) in enumerate(groups)]

    def _put(self, batch: Sequence[Outgoing]) -> None:
        storing, self._storing = self._storing, None
        if storing is None:
            super()._put(batch)
        else:
            self._sends.start(self._publish_after, storing, self._requests(batch))

    def _publish_after(self, storing: Future[None], requests: Sequence[Request]) -> None:
        """Nobody may read a ticket before its object is there."""
        storing.result()
        for request in requests:
            self._sender.publish(request)

    def _claim(self, payload: Buffer) -> Buffer:
        if not is_ticket(payload):
            return payload
        ticket = read_ticket(payload, self.config.max_payload_bytes)
        with self._calling():
            claimed = get_range(self._s3, self._bucket, self._objects + ticket.name, ticket.start, ticket.size)
        check_claimed(ticket, claimed or b"")
        return claimed or b""

    def cleanup(self) -> None:
        """Delete every object of the run, of all attempts.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        self._folder.clear(self._settings.backoff, self.hooks.sleep)
