"""An inbox as bytes, so that another process can take over a slot: a JSON index, the payloads, a MAC."""

from __future__ import annotations

import hmac
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from channels.config import ChannelConfig
from channels.errors import FrameError
from channels.frame import MAC_BYTES
from channels.inbox import Buffer, Inbox, Pair, Partial
from channels.samples import Samples
from channels.tags import Tag

_MAGIC = b"FSDI\x02\x00\x00\x00"
_LENGTH = struct.Struct("<Q")
_HEAD_BYTES = len(_MAGIC) + _LENGTH.size


@dataclass(frozen=True)
class Snapshot:
    """What a slot has received and not used.

    foreign: texts that were no frames and have not been handed to the owner.
    heard:   samples that later messages may refer to, by (source, tag).
    """

    inbox: Inbox
    foreign: tuple[str, ...]
    heard: Mapping[Pair, Samples] = field(default_factory=dict)


def save_snapshot(snapshot: Snapshot, config: ChannelConfig) -> bytes:
    """Return the bytes of a snapshot, signed with the run's key."""
    inbox = snapshot.inbox
    index = {
        "identity": _identity(config),
        "foreign": snapshot.foreign,
        "seen": [_pair_to_json(pair) for pair in sorted(inbox.seen)],
        "ready": [(*_pair_to_json(pair), len(data)) for pair, data in inbox.ready.items()],
        "taken": [(*_pair_to_json(pair), len(data)) for pair, data in inbox.taken.items()],
        "partial": [_partial_to_json(pair, partial) for pair, partial in inbox.partial.items()],
    }
    index["heard"] = [(*_pair_to_json(pair), samples.nbytes) for pair, samples in snapshot.heard.items()]
    text = json.dumps(index, separators=(",", ":")).encode()
    samples = (samples.astype("<i4", copy=False).tobytes() for samples in snapshot.heard.values())
    data = b"".join((_MAGIC, _LENGTH.pack(len(text)), text, *_payloads(inbox), *samples))
    return data + _mac(data, config)


def load_snapshot(data: bytes, config: ChannelConfig) -> Snapshot:
    """Read what save_snapshot wrote for the same run, attempt, epoch and slot.

    Raises:
        FrameError: if it is another's, or not signed with the run's key.
    """
    view = memoryview(data)
    body = view[:-MAC_BYTES]
    if bytes(body[: len(_MAGIC)]) != _MAGIC or not hmac.compare_digest(_mac(body, config), view[-MAC_BYTES:]):
        raise FrameError("inbox: expected one saved and signed by this run, got something else")
    (length,) = _LENGTH.unpack_from(body, len(_MAGIC))
    index = json.loads(bytes(body[_HEAD_BYTES : _HEAD_BYTES + length]))
    if index["identity"] != _identity(config):
        raise FrameError(f"inbox: expected that of {_identity(config)}, got {index['identity']}")
    cursor = _Cursor(body, _HEAD_BYTES + length)
    inbox = _read_inbox(index, cursor)
    heard = {_pair(*names): np.frombuffer(cursor.next(size), "<i4").copy() for *names, size in index["heard"]}
    return Snapshot(inbox, tuple(index["foreign"]), heard)


def _mac(data: Buffer, config: ChannelConfig) -> bytes:
    return blake2b(data, key=config.mac_key, digest_size=MAC_BYTES, person=b"inbox").digest()


def _identity(config: ChannelConfig) -> list[str | int]:
    return [config.run_id, config.attempt, config.epoch, config.slot]


def _pair_to_json(pair: Pair) -> tuple[int, int, int]:
    return pair[0], pair[1].step, pair[1].micro_batch


def _partial_to_json(pair: Pair, partial: Partial) -> list[Any]:
    sizes = [(chunk, len(part)) for chunk, part in partial.parts.items()]
    return [*_pair_to_json(pair), partial.chunks, partial.total, sizes]


def _payloads(inbox: Inbox) -> Iterator[Buffer]:
    yield from inbox.ready.values()
    yield from inbox.taken.values()
    for partial in inbox.partial.values():
        yield from partial.parts.values()


class _Cursor:
    """Cuts consecutive payloads off a buffer."""

    def __init__(self, data: memoryview, start: int) -> None:
        self._data = data
        self._at = start

    def next(self, size: int) -> memoryview:
        """Return the next `size` bytes."""
        part = self._data[self._at : self._at + size]
        self._at += size
        return part


def _pair(source: int, step: int, micro_batch: int) -> Pair:
    return source, Tag(step, micro_batch)


def _read_inbox(index: dict[str, Any], cursor: _Cursor) -> Inbox:
    seen = {_pair(*entry) for entry in index["seen"]}
    ready: dict[Pair, Buffer] = {_pair(*names): cursor.next(size) for *names, size in index["ready"]}
    taken: dict[Pair, Buffer] = {_pair(*names): cursor.next(size) for *names, size in index["taken"]}
    partial = {
        _pair(*names): Partial(chunks, total, {chunk: cursor.next(size) for chunk, size in sizes})
        for *names, chunks, total, sizes in index["partial"]
    }
    return Inbox(seen, partial, ready, taken)
