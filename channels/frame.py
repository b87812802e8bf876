"""One message on the wire: fixed header, a chunk of payload, a keyed MAC over both. Nothing here is ever evaluated.

A message larger than the transport's limit is several frames with the same header but for the chunk number. The header
is read before the MAC is checked, because a frame of another run is signed with a key that this process does not have.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from channels.errors import FrameError
from channels.tags import Tag

MAGIC = b"FSDF"
SCHEMA_VERSION = 1
MAC_BYTES = 16

# magic, version, reserved, run id, attempt, epoch, step, micro-batch, source, destination, chunk, chunks, total bytes
_HEADER = struct.Struct("<4sHH16sIQiIHHIIQ")
HEADER_BYTES = _HEADER.size
OVERHEAD_BYTES = HEADER_BYTES + MAC_BYTES


@dataclass(frozen=True)
class Header:
    """What a frame says about itself.

    run_id:  16 bytes.
    source, destination: slots.
    chunk:   number of this frame, in [0, chunks).
    chunks:  frames of the whole message, >= 1.
    total:   payload bytes of the whole message.
    """

    run_id: bytes
    attempt: int
    epoch: int
    tag: Tag
    source: int
    destination: int
    chunk: int
    chunks: int
    total: int


@dataclass(frozen=True)
class Frame:
    """A header and the part of the payload that travels with it."""

    header: Header
    payload: bytes | memoryview


def pack_frame(frame: Frame, key: bytes) -> bytes:
    """Return the bytes of a frame, signed with `key`.

    Raises:
        FrameError: if a field does not fit its width.
    """
    head = _pack_header(frame.header)
    mac = blake2b(head, key=key, digest_size=MAC_BYTES)
    mac.update(frame.payload)
    return b"".join((head, frame.payload, mac.digest()))


def _pack_header(h: Header) -> bytes:
    fields = (h.run_id, h.attempt, h.epoch, h.tag.step, h.tag.micro_batch, h.source, h.destination)
    try:
        return _HEADER.pack(MAGIC, SCHEMA_VERSION, 0, *fields, h.chunk, h.chunks, h.total)
    except struct.error as error:
        raise FrameError(f"frame header: a field does not fit ({error}): {h}") from error


def parse_frame(data: bytes, max_total: int) -> Frame:
    """Read a frame without checking its MAC; the payload is a view of `data`.

    max_total: largest payload of a whole message, in bytes.

    Raises:
        FrameError: if the bytes are too short, of another format, or contradict themselves or the limit.
    """
    if len(data) < OVERHEAD_BYTES:
        raise FrameError(f"frame: expected at least {OVERHEAD_BYTES} bytes, got {len(data)}")
    magic, version, reserved, run_id, attempt, epoch, step, micro_batch, *rest = _HEADER.unpack_from(data)
    if (magic, version, reserved) != (MAGIC, SCHEMA_VERSION, 0):
        raise FrameError(f"frame: expected {MAGIC!r} version {SCHEMA_VERSION}, got {magic!r} version {version}")
    header = Header(run_id, attempt, epoch, Tag(step, micro_batch), *rest)
    payload = memoryview(data)[HEADER_BYTES:-MAC_BYTES]
    _check_sizes(header, len(payload), max_total)
    return Frame(header, payload)


def _check_sizes(header: Header, size: int, max_total: int) -> None:
    if header.total > max_total:
        raise FrameError(f"frame: expected a message of at most {max_total} bytes, got {header.total}")
    if header.chunk >= header.chunks or header.chunks > max(1, header.total):
        raise FrameError(f"frame: chunk {header.chunk} of {header.chunks} of a message of {header.total} bytes")
    whole = header.chunks == 1
    if (size != header.total) if whole else not 0 < size < header.total:
        raise FrameError(f"frame: {size} bytes in chunk {header.chunk} of {header.chunks}, total {header.total}")


def verify_mac(data: bytes, key: bytes) -> None:
    """Check that `data`, a frame, was signed with `key`.

    Raises:
        FrameError: if it was not.
    """
    view = memoryview(data)
    expected = blake2b(view[:-MAC_BYTES], key=key, digest_size=MAC_BYTES).digest()
    if not hmac.compare_digest(expected, view[-MAC_BYTES:]):
        raise FrameError("frame: wrong MAC, not signed with this run's key")


def split_message(header: Header, payload: bytes, max_chunk: int) -> Iterator[Frame]:
    """Cut a payload into frames of at most `max_chunk` bytes of payload; one empty frame if it is empty.

    header: its chunk, chunks and total are ignored.
    """
    chunks = max(1, -(-len(payload) // max_chunk))
    view = memoryview(payload)
    for i in range(chunks):
        part = view[i * max_chunk : (i + 1) * max_chunk]
        yield Frame(_numbered(header, i, chunks, len(payload)), part)


def _numbered(h: Header, chunk: int, chunks: int, total: int) -> Header:
    return Header(h.run_id, h.attempt, h.epoch, h.tag, h.source, h.destination, chunk, chunks, total)
