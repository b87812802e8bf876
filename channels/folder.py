"""Channel between processes of one machine: a folder with a mailbox per slot, a file per frame. For verification.

Latency: up to 5 ms, the longest pause between two looks. Price: nothing.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.errors import TransportError
from channels.transport import Incoming, Key, Outgoing

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0002, 0.005
_UNFINISHED, _TEXT = ".part", ".txt"


@dataclass(frozen=True)
class FolderSettings:
    """Where the mailboxes are.

    folder:      the run's own; whoever made it removes it.
    max_payload: bytes of payload per frame.
    """

    folder: Path
    max_payload: int = 1 << 30

    def mailbox(self, slot: int) -> Path:
        """The folder of a slot's messages; made when it is first asked for."""
        path = self.folder / str(slot)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, slot: int, data: bytes | str) -> None:
        """Leave a message for a slot: under another name first, so that nobody reads half of it."""
        path = self.mailbox(slot) / f"{uuid.uuid4().hex}{_TEXT if isinstance(data, str) else ''}"
        path.with_suffix(_UNFINISHED).write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(path.with_suffix(_UNFINISHED), path)


class FolderChannel(Channel):
    """One slot's end: its mailbox, and the way to those of the others."""

    def __init__(self, config: ChannelConfig, settings: FolderSettings, *, hooks: ChannelHooks | None = None) -> None:
        super().__init__(config, hooks or ChannelHooks())
        self._settings = settings
        self._mailbox = settings.mailbox(config.slot)

    @property
    def max_payload(self) -> int:
        """Largest payload of one frame, in bytes."""
        return self._settings.max_payload

    def _put(self, batch: Sequence[Outgoing]) -> None:
        try:
            for out in batch:
                self._settings.put(out.key.destination, out.data)
        except OSError as error:
            raise TransportError(f"folder {self._settings.folder}: expected to write a frame, got {error}") from error

    def _poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        del expected
        until, pause_s = self.hooks.clock() + timeout_s, _FIRST_PAUSE_S
        while not (found := self._take()) and (now := self.hooks.clock()) < until:
            self.hooks.sleep(min(pause_s, until - now))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return found

    def _take(self) -> list[Incoming]:
        try:
            paths = [path for path in self._mailbox.iterdir() if path.suffix != _UNFINISHED]
            found = [Incoming(path.read_text() if path.suffix == _TEXT else path.read_bytes()) for path in paths]
        except OSError as error:
            raise TransportError(f"folder {self._mailbox}: expected to read frames, got {error}") from error
        for path in paths:
            path.unlink()
        return found

    def _dispose(self) -> None:
        """Nothing is held: the folder belongs to whoever made it."""
