"""Frames for several slots in one piece: an index of who gets which bytes, then the frames.

One message or object costs a request however many ranks read it. Each frame keeps its own MAC, and a reader takes
nothing but its own; the index is only a hint where to look. A frame for several slots is there once: a size of 0 in the
index means the bytes of the slot before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from channels.errors import FrameError
from channels.transport import Outgoing
from channels.varint import pack_uints, read_uints

MAX_PARTS = 1 << 16


@dataclass(frozen=True)
class Part:
    """Bytes [start, end) of a parcel are a frame for `slot`."""

    slot: int
    start: int
    end: int


def same_data(frames: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Frames by the object that is their data: those of a group are sent once."""
    groups: dict[int, list[Outgoing]] = {}
    for frame in frames:
        groups.setdefault(id(frame.data), []).append(frame)
    return list(groups.values())


def pack_parcel(frames: Sequence[Outgoing]) -> bytes:
    """Return the bytes of a parcel of these frames."""
    index, data = [len(frames)], []
    for first, *others in same_data(frames):
        index += [first.key.destination, len(first.data)]
        index += [number for frame in others for number in (frame.key.destination, 0)]
        data.append(first.data)
    return b"".join((pack_uints(index), *data))


def parcel_index(data: bytes | memoryview, at: int = 0) -> list[Part]:
    """Read the index of a parcel that begins at `at`, of which the end may be missing; its parts are places in `data`.

    Raises:
        FrameError: if the index itself is not whole, or has more than MAX_PARTS parts.
    """
    try:
        (count,), at = read_uints(data, at, 1)
        if count > MAX_PARTS:
            raise FrameError(f"parcel: expected at most {MAX_PARTS} parts, got {count}")
        numbers, at = read_uints(data, at, 2 * count)
    except ValueError as error:
        raise FrameError(f"parcel index: {error}") from error
    parts: list[Part] = []
    for slot, size in zip(numbers[::2], numbers[1::2], strict=True):
        start = at if size or not parts else parts[-1].start
        at += size
        parts.append(Part(slot, start, at))
    return parts


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """Return (slot, frame) of a whole parcel; a frame for several slots is one object.

    Raises:
        FrameError: if the parcel is cut short, or longer than its index says.
    """
    parts = parcel_index(data)
    end = parts[-1].end if parts else 0
    if end != len(data):
        raise FrameError(f"parcel: expected {end} bytes, got {len(data)}")
    frames = {(part.start, part.end): data[part.start : part.end] for part in parts}
    return [(part.slot, frames[part.start, part.end]) for part in parts]
