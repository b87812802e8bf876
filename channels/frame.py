"""One message on the wire: a short header, a chunk of payload, a keyed MAC over both. Nothing here is ever evaluated.

A message larger than the transport's limit is several frames with the same header but for the chunk number. The header
is read before the MAC is checked, because a frame of another run is signed with a key that this process does not have.
Its numbers take the bytes that they need: about 16, and 28 with the MAC, where fixed widths took 80. Most messages of a
sparse network are smaller than that.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from channels.errors import FrameError
from channels.tags import Tag
from channels.varint import pack_uints, read_uints

MAGIC = b"\xfd\x02"  # the second byte is the version
MAC_BYTES = 12
RUN_TAG_BYTES = 4

# attempt, epoch, step (zigzag), micro-batch, source, destination, chunk, chunks, total bytes
_WIDTHS = (32, 64, 32, 32, 16, 16, 32, 32, 64)
_LEAST_WIDTH = min(_WIDTHS)
EVERY = (1 << 16) - 1
"""Destination of a frame that goes to several slots as it is."""
_FIXED_BYTES = len(MAGIC) + RUN_TAG_BYTES
LEAST_BYTES = _FIXED_BYTES + len(_WIDTHS) + MAC_BYTES
OVERHEAD_BYTES = _FIXED_BYTES + sum(-(-width // 7) for width in _WIDTHS) + MAC_BYTES
"""What a frame adds to its payload: at least, and at most."""


class Header(NamedTuple):
    """What a frame says about itself.

    run_tag: first bytes of the run's id: enough to choose the key, which is the run's own, by.
    source, destination: slots; destination EVERY where several get the same frame.
    chunk:   number of this frame, in [0, chunks).
    chunks:  frames of the whole message, >= 1.
    total:   payload bytes of the whole message.
    """

    run_tag: bytes
    attempt: int
    epoch: int
    tag: Tag
    source: int
    destination: int
    chunk: int
    chunks: int
    total: int


class Frame(NamedTuple):
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


@lru_cache(maxsize=16)
def run_tag(run_id: str) -> bytes:
    """Return how frames name the run with this id of hex digits."""
    return bytes.fromhex(run_id)[:RUN_TAG_BYTES]


def _pack_header(h: Header) -> bytes:
    name = (h.attempt, h.epoch, _zigzag(h.tag.step), h.tag.micro_batch, h.source, h.destination)
    numbers = (*name, h.chunk, h.chunks, h.total)
    if len(h.run_tag) != RUN_TAG_BYTES or any(n < 0 or n >> w for n, w in zip(numbers, _WIDTHS, strict=True)):
        raise FrameError(f"frame header: a field does not fit: {h}")
    return MAGIC + h.run_tag + pack_uints(numbers)


def _zigzag(signed: int) -> int:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ...: small numbers of either sign stay small."""
    return 2 * signed if signed >= 0 else -2 * signed - 1


def _unzigzag(number: int) -> int:
    return number // 2 if number % 2 == 0 else -(number + 1) // 2


def parse_frame(data: bytes | memoryview, max_total: int) -> Frame:
    """Read a frame without checking its MAC; the payload is a view of `data`.

    max_total: largest payload of a whole message, in bytes.

    Raises:
        FrameError: if the bytes are too short, of another format, or contradict themselves or the limit.
    """
    view = memoryview(data)
    if len(view) < LEAST_BYTES:
        raise FrameError(f"frame: expected at least {LEAST_BYTES} bytes, got {len(view)}")
    if view[: len(MAGIC)] != MAGIC:
        raise FrameError(f"frame: expected one that begins with {MAGIC!r}, got {bytes(view[: len(MAGIC)])!r}")
    header, start = _parse_header(view[:-MAC_BYTES])
    payload = view[start:-MAC_BYTES]
    _check_sizes(header, len(payload), max_total)
    return Frame(header, payload)


def _parse_header(data: memoryview) -> tuple[Header, int]:
    try:
        numbers, end = read_uints(data, _FIXED_BYTES, len(_WIDTHS))
    except ValueError as error:
        raise FrameError(f"frame header: {error}") from error
    if max(numbers) >> _LEAST_WIDTH and any(n >> width for n, width in zip(numbers, _WIDTHS, strict=True)):
        raise FrameError(f"frame header: expected numbers of {_WIDTHS} bits, got {numbers}")
    attempt, epoch, step, micro_batch, *rest = numbers
    return Header(bytes(data[len(MAGIC) : _FIXED_BYTES]), attempt, epoch, Tag(_unzigzag(step), micro_batch), *rest), end


def _check_sizes(header: Header, size: int, max_total: int) -> None:
    if header.total > max_total:
        raise FrameError(f"frame: expected a message of at most {max_total} bytes, got {header.total}")
    if header.chunk >= header.chunks or header.chunks > max(1, header.total):
        raise FrameError(f"frame: chunk {header.chunk} of {header.chunks} of a message of {header.total} bytes")
    whole = header.chunks == 1
    if (size != header.total) if whole else not 0 < size < header.total:
        raise FrameError(f"frame: {size} bytes in chunk {header.chunk} of {header.chunks}, total {header.total}")


def verify_mac(data: bytes | memoryview, key: bytes) -> None:
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


def _numbered(header: Header, chunk: int, chunks: int, total: int) -> Header:
    return header._replace(chunk=chunk, chunks=chunks, total=total)
