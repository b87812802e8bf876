"""Channel over one lane: an SNS topic that hands each message to the SQS queue of its slot.

Latency: 10 to 50 ms a message. Price: publishing 5e-7 USD per 64 KiB, receiving and deleting 4e-7 USD a call of up to
ten messages. Best for many small messages; a 256 KiB message takes a call of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.errors import ConfigError
from channels.frame import OVERHEAD_BYTES
from channels.publish import TopicSender, attribute_bytes
from channels.receive import Polling, QueueReceiver
from channels.retry import Backoff
from channels.text import capacity
from channels.transport import Incoming, Key, Outgoing

if TYPE_CHECKING:
    from types_boto3_sns.client import SNSClient
    from types_boto3_sqs.client import SQSClient

DELETERS = 1


@dataclass(frozen=True)
class QueueSettings:
    """A lane. Its subscriptions deliver raw messages, each with the static filter {"slot": ["<slot>"]}.

    queue_urls:      by slot, at least as many as the run has slots.
    max_batch_bytes: largest message and batch, attributes included.
    publishers:      PublishBatch calls at the same time.
    """

    topic_arn: str
    queue_urls: tuple[str, ...]
    max_batch_bytes: int = 262_144
    publishers: int = 4
    polling: Polling = field(default_factory=Polling)
    backoff: Backoff = field(default_factory=Backoff)


class QueueChannel(Channel):
    """One slot's end of a lane. SNS and SQS deliver at least once and in any order: the base class makes it exact."""

    def __init__(
        self,
        config: ChannelConfig,
        settings: QueueSettings,
        *,
        sns: SNSClient,
        sqs: SQSClient,
        hooks: ChannelHooks | None = None,
    ) -> None:
        super().__init__(config, hooks or ChannelHooks())
        if len(settings.queue_urls) < config.slots:
            raise ConfigError(f"lane: expected at least {config.slots} queues, got {len(settings.queue_urls)}")
        self._settings = settings
        threads = settings.publishers + settings.polling.receivers + DELETERS
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"slot-{config.slot}")
        common = (self._pool, settings.backoff, self.hooks.sleep)
        self._sender = TopicSender(sns, settings.topic_arn, *common)
        self._receiver = QueueReceiver(sqs, settings.queue_urls[config.slot], settings.polling, *common)

    @property
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes, so that its text and attribute fill one message."""
        room = self._settings.max_batch_bytes - attribute_bytes(str(self.config.slots))
        return capacity(room) - OVERHEAD_BYTES

    def _put(self, batch: Sequence[Outgoing]) -> None:
        self._sender.put(batch, self._settings.max_batch_bytes)

    def _price(self, batch: Sequence[Outgoing]) -> list[tuple[str, int]]:
        return self._sender.price(batch, self._settings.max_batch_bytes)

    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        del expected
        return self._receiver.poll(timeout_s, self.config.deadline - self.hooks.clock())

    def _settle(self, accepted: Sequence[Incoming], refused: Sequence[Incoming]) -> None:
        self._receiver.release(refused)
        self._receiver.delete(accepted)

    def _quiesce(self) -> Sequence[Incoming]:
        return self._receiver.quiesce()

    def _drain(self) -> None:
        self._receiver.drain()

    def _dispose(self) -> None:
        self._pool.shutdown(wait=True)
