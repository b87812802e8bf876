"""Channel between threads of one process: real frames, no service. For verification and tests.

Latency: microseconds. Price: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, SimpleQueue

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.transport import Incoming, Key, Outgoing


class MemoryHub:
    """The queues of all slots of a run, shared by its channels.

    max_payload: bytes of payload per frame; small values make messages travel in many frames.
    """

    def __init__(self, slots: int, max_payload: int = 1 << 30) -> None:
        self.max_payload = max_payload
        self._queues: tuple[SimpleQueue[bytes | str], ...] = tuple(SimpleQueue() for _ in range(slots))

    def put(self, slot: int, data: bytes | str) -> None:
        """Leave a message for a slot."""
        self._queues[slot].put(data)

    def get(self, slot: int, timeout_s: float) -> list[bytes | str]:
        """Wait for a message and return all that are there; empty after `timeout_s`."""
        queue = self._queues[slot]
        messages: list[bytes | str] = []
        try:
            messages.append(queue.get(timeout=timeout_s))
            while True:
                messages.append(queue.get_nowait())
        except Empty:
            return messages


class MemoryChannel(Channel):
    """One slot's end of a MemoryHub."""

    def __init__(self, config: ChannelConfig, settings: MemoryHub, *, hooks: ChannelHooks | None = None) -> None:
        super().__init__(config, hooks or ChannelHooks())
        self._hub = settings

    @property
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes."""
        return self._hub.max_payload

    def _put(self, batch: Sequence[Outgoing]) -> None:
        for out in batch:
            self._hub.put(out.key.destination, out.data)

    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        del expected
        return [Incoming(data) for data in self._hub.get(self.config.slot, timeout_s)]

    def _settle(self, accepted: Sequence[Incoming], refused: Sequence[Incoming]) -> None:
        del accepted
        for message in refused:
            self._hub.put(self.config.slot, message.data)

    def _dispose(self) -> None:
        """Nothing is held: the hub belongs to whoever made it."""
