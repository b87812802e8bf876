"""Ways to move tensors between the ranks of one run. Knows no ONNX."""

from __future__ import annotations

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks, ChannelStats
from channels.errors import (
    ChannelError,
    ChannelTimeout,
    CodecError,
    ConfigError,
    Fenced,
    FrameError,
    RunAborted,
    TransportError,
)
from channels.memory import MemoryChannel, MemoryHub
from channels.registry import channel_class, channel_names, open_channel
from channels.tags import ABORT, ASSIGN, HELLO, REPORT, Tag
from channels.tensors import LiveTensor, Tensor

__all__ = [
    "ABORT",
    "ASSIGN",
    "HELLO",
    "REPORT",
    "Channel",
    "ChannelConfig",
    "ChannelError",
    "ChannelHooks",
    "ChannelStats",
    "ChannelTimeout",
    "CodecError",
    "ConfigError",
    "Fenced",
    "FrameError",
    "LiveTensor",
    "MemoryChannel",
    "MemoryHub",
    "RunAborted",
    "Tag",
    "Tensor",
    "TransportError",
    "channel_class",
    "channel_names",
    "open_channel",
]
