"""Unsigned integers of any size in as few bytes as they need: seven bits each, lowest first (LEB128).

Most numbers of a frame are small; at fixed width they would be most of a small message.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_BYTES = 10  # of a 64-bit number


def pack_uints(values: Iterable[int]) -> bytes:
    """Return the bytes of numbers >= 0, one after the other."""
    out = bytearray()
    for value in values:
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def read_uints(data: bytes | memoryview, start: int, count: int) -> tuple[list[int], int]:
    """Return `count` numbers that begin at `start`, and where they end.

    Raises:
        ValueError: if the data ends first, or a number takes more than 64 bits or more bytes than it needs.
    """
    head = bytes(data[start : start + count])
    if len(head) == count and head.isascii():  # most numbers are below 128
        return list(head), start + count
    values, at = [], start
    for _ in range(count):
        if at < len(data) and data[at] < 0x80:
            value, at = data[at], at + 1
        else:
            value, at = _read(data, at)
        values.append(value)
    return values, at


def _read(data: bytes | memoryview, start: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(data[start : start + MAX_BYTES]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >> 64 or (i and not byte):
                break
            return value, start + i + 1
    raise ValueError(f"expected a number of 64 bits at byte {start} of {len(data)}")
