"""The channel every transport shares (public interface first; the parts follow)."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence

from channels.config import ChannelConfig, ChannelHooks, ChannelStats
from channels.tags import Tag
from channels.tensors import Tensor

Pair = tuple[int, Tag]


class Channel(ABC):
    """Moves tensors and small JSON between the slots of one run; used by one thread."""

    def __init__(self, config: ChannelConfig, hooks: ChannelHooks) -> None:
        self.config = config
        self.hooks = hooks
        self.stats = ChannelStats()

    def send(self, dst: int, tag: Tag, tensor: Tensor) -> None:
        """Send one tensor."""
        raise NotImplementedError

    def send_many(self, messages: Sequence[tuple[int, Tag, Tensor]]) -> None:
        """Send (dst, tag, tensor) messages in as few requests as fit; an object sent to many is encoded once."""
        raise NotImplementedError

    def recv(self, src: int, tag: Tag) -> Tensor:
        """Wait for one tensor; arrays may be read-only."""
        raise NotImplementedError

    def recv_any(self, pairs: Sequence[Pair]) -> tuple[int, Tag, Tensor]:
        """Wait for the first of several (src, tag) and return (src, tag, tensor)."""
        raise NotImplementedError

    def send_json(self, dst: int, tag: Tag, value: object) -> None:
        """Send a small JSON value."""
        raise NotImplementedError

    def recv_json(self, src: int, tag: Tag) -> object:
        """Wait for one JSON value."""
        raise NotImplementedError

    def recv_json_any(self, pairs: Sequence[Pair]) -> tuple[int, Tag, object]:
        """Wait for the first of several (src, tag) and return (src, tag, value)."""
        raise NotImplementedError

    def abort(self, reason: str) -> None:
        """Tell all other slots that the run is over; their recv raises RunAborted."""
        raise NotImplementedError

    def flush(self) -> None:
        """Wait until everything sent and acknowledged has left this process."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush and free the transport."""
        raise NotImplementedError

    def save_inbox(self) -> bytes:
        """Stop receiving and return undelivered messages and the keys seen, for another process to take over."""
        raise NotImplementedError

    def restore_inbox(self, data: bytes) -> None:
        """Take over from the process whose save_inbox gave `data`."""
        raise NotImplementedError
