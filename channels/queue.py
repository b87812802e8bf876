"""Channel over one lane: an SNS topic that hands each message to the SQS queues of its slots, or these queues directly.

Latency: 10 to 50 ms a message. Price: publishing 5e-7 USD per 64 KiB, for however many slots, or 4e-7 USD to one
directly; receiving and deleting 4e-7 USD a call of up to ten messages. Best for many small messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from channels.background import Background
from channels.base import RELAYING, Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.errors import ConfigError
from channels.frame import OVERHEAD_BYTES
from channels.pace import Pace
from channels.publish import LARGEST_BYTES, RELAYED_BODY, Entry, Request
from channels.receive import Polling, QueueReceiver
from channels.relay import MOST_MESSAGE_BYTES, Relays
from channels.retry import Backoff
from channels.tags import Tag
from channels.topic import Lane, LaneSender
from channels.transport import Incoming, Key, Outgoing, tag_of
from channels.varint import MAX_BYTES

if TYPE_CHECKING:
    from types_boto3_sns.client import SNSClient
    from types_boto3_sqs.client import SQSClient

DELETERS = 1


@dataclass(frozen=True)
class QueueSettings:
    """A lane. Its subscriptions deliver raw messages, each with the static filter {"slot": ["<slot>"]}.

    queue_urls: by slot, at least as many as the run has slots.
    publishers: requests at the same time that send.
    filters:    whether the filters work already; until then nothing goes through the topic.
    relays:     whether `relay` has an effect; the same for all slots of a run.
    """

    topic_arn: str
    queue_urls: tuple[str, ...]
    publishers: int = 4
    polling: Polling = field(default_factory=Polling)
    backoff: Backoff = field(default_factory=Backoff)
    filters: bool = True
    relays: bool = True


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
        self._sends = Background(self._pool)
        again = (settings.backoff, self.hooks.sleep)
        lane = Lane(settings.topic_arn, settings.queue_urls, settings.filters)
        self._sender = LaneSender(sns, sqs, lane, self._sends, *again)
        self._pace = Pace()
        self._relays = Relays(config.slot)
        queue = (settings.queue_urls[config.slot], config.slot)
        self._receiver = QueueReceiver(sqs, *queue, settings.polling, self._pool, *again)

    @property
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes, so that it fills one message with all that is added to it."""
        slots = self.config.slots
        index = b"\0" * (1 + 2 * slots) * MAX_BYTES
        return LARGEST_BYTES - Entry(tuple(range(slots)), index).binary_bytes - OVERHEAD_BYTES

    def _put(self, batch: Sequence[Outgoing]) -> None:
        self._sender.start(self._requests(batch))

    def _price(self, batch: Sequence[Outgoing]) -> list[tuple[str, int]]:
        return [(request.operation, request.size) for request in self._sender.plan(batch)]

    def _requests(self, batch: Sequence[Outgoing]) -> list[Request]:
        """The calls that carry these frames; what the own slot hands on stays here."""
        relayed = [frame for frame in batch if frame.key.tag in self._relays.by_tag]
        plain = [frame for frame in batch if frame.key.tag not in self._relays.by_tag]
        requests = self._sender.plan(plain) if plain else []
        for tag, frames in groupby(sorted(relayed, key=tag_of), tag_of):
            requests += self._to_relay(tag, list(frames))
        return requests

    def _to_relay(self, tag: Tag, frames: Sequence[Outgoing]) -> list[Request]:
        """One message to who hands on; where it would be large, what it would be without, and word of it."""
        relay, entry = self._relays.by_tag[tag], Entry.of(frames)
        if relay == self.config.slot:
            self._relays.collected(tag).add(frames, relay)
            return []
        if len(entry.parcel) <= MOST_MESSAGE_BYTES:
            return [Request((entry,), relay, RELAYED_BODY)]
        group = self._outbox.json([relay], tag, None)
        word = () if relay in entry.slots else self._outbox.frames([group], self.max_payload)
        return self._sender.plan([*frames, *word])

    # Handing on

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str] = RELAYING) -> None:
        """As the base class has it. What a source has that is large, it sends to its readers."""
        if self._settings.relays and "queue" in on:
            self._relays.begin(tag, slot, sources)

    def hand_on(self, tag: Tag) -> None:
        """Wait until every source has sent, and hand on what came for others, and the own frames."""
        if tag not in self._relays.by_tag:
            return
        self._raise_if_over()
        collected = self._relays.collected(tag)

        def is_there() -> bool:
            return all(self.has_arrived(source, tag) for source in collected.missing)

        self._wait_until(is_there, collected.missing, tag)
        with self._calling():
            self._sends.wait()  # nobody may read what the own frames refer to before it is there
        self._hand_on(self._relays.end(tag))

    def _hand_on(self, frames: Sequence[Outgoing]) -> None:
        if frames:
            self._sender.start(self._sender.plan_relayed(frames))

    def _take_for(self, frame: Outgoing) -> None:
        collected = self._relays.collected(frame.key.tag)
        collected.add([frame], frame.key.source)
        if frame.key.tag in self._relays.handed:
            self._hand_on(collected.take())

    # Receiving

    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        with self._calling():
            self._sends.wait()  # ranks go in step: when the own messages are out, the others' are on their way together
        now = self.hooks.clock()
        until, due = now + timeout_s, self._pace.due_s(expected, now)
        if due > now and not self._receiver.busy:
            self.hooks.sleep(min(due, until) - now)
        now = self.hooks.clock()
        found = self._receiver.poll(max(0.0, until - now), self.config.deadline - now)
        if found:
            self._pace.got(self.hooks.clock())
        return found

    def _settle(self, accepted: Sequence[Incoming], refused: Sequence[Incoming]) -> None:
        kept = {message.receipt for message in refused}
        self._receiver.release(refused)
        self._receiver.delete([message for message in accepted if message.receipt not in kept])

    def _quiesce(self) -> Sequence[Incoming]:
        return self._receiver.quiesce()

    def _drain(self) -> None:
        try:
            self._sends.wait()
        finally:
            self._receiver.drain()

    def _dispose(self) -> None:
        self._pool.shutdown(wait=True)
