"""Why a channel gives up. A subclass is the caller's decision; the message is one line."""

from __future__ import annotations


class ChannelError(Exception):
    """Root of what channels raise."""


class ConfigError(ChannelError):
    """The caller's mistake (unknown channel, slot out of range, a setting that cannot be): a bug, never retry."""


class ChannelTimeout(ChannelError):
    """The deadline passed while waiting for a message: a new attempt may succeed."""


class TransportError(ChannelError):
    """The service refused a call after all retries: a new attempt may succeed."""


class RunAborted(ChannelError):
    """Another slot ended the run: stop, the reason is in `reason`."""

    def __init__(self, reason: str, source: int) -> None:
        super().__init__(f"run aborted by slot {source}: {reason}")
        self.reason = reason
        self.source = source


class Fenced(ChannelError):
    """A newer holder uses this lane or slot: leave at once and delete nothing."""


class FrameError(ChannelError):
    """Bytes that are no frame of ours: refuse them."""


class CodecError(ChannelError):
    """A payload that does not decode to what it declares, or a tensor that cannot be encoded: a bug or an attack."""
