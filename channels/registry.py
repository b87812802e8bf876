"""Which channels there are. A channel is imported when it is opened, so that memory needs no AWS SDK."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.errors import ConfigError

# name -> module and class; add a channel by a line here and a file that passes the contract suite
_CHANNELS: Final = {
    "folder": ("channels.folder", "FolderChannel"),
    "hybrid": ("channels.hybrid", "HybridChannel"),
    "memory": ("channels.memory", "MemoryChannel"),
    "object": ("channels.object", "ObjectChannel"),
    "queue": ("channels.queue", "QueueChannel"),
}


def channel_names() -> tuple[str, ...]:
    """Return the known channels, in alphabetical order."""
    return tuple(_CHANNELS)


def channel_class(name: str) -> type[Channel]:
    """Import and return the class of a channel.

    Raises:
        ConfigError: if the name is unknown; lists the known ones.
    """
    if name not in _CHANNELS:
        raise ConfigError(f"channel: expected one of {', '.join(_CHANNELS)}, got {name!r}")
    module, attribute = _CHANNELS[name]
    loaded: type[Channel] = getattr(import_module(module), attribute)
    return loaded


def open_channel(
    name: str, config: ChannelConfig, settings: object, *, hooks: ChannelHooks | None = None, **clients: object
) -> Channel:
    """Open one slot's end of a channel.

    settings: MemoryHub, QueueSettings, ObjectSettings or HybridSettings.
    clients:  memory: none; queue: sns, sqs; object: s3; hybrid: all three.

    Raises:
        ConfigError: if the name is unknown.
    """
    make: Any = channel_class(name)
    channel: Channel = make(config, settings, hooks=hooks, **clients)
    return channel
