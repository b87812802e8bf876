"""Nodes counted in a file before it is parsed: protobuf takes twice the memory of what it reads.

Only tags and lengths of messages are looked at, in Python; what is no protobuf is left to the parser to refuse.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

# Fields that hold nodes, or what holds nodes, by message (onnx.proto): number -> message.
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {6: "graph", 11: "graph"},
}
_FIXED = {1: 8, 5: 4}  # bytes of a value by wire type
_VARINT, _SIZED = 0, 2
_HEADER = 20  # bytes of a tag and a length at most


def has_more_nodes(file: BinaryIO, most: int) -> bool:
    """Whether a model's graphs and functions list more nodes than that; the file is read no further than needed."""
    return any(count >= most for count, _ in enumerate(_nodes(file)))


def _nodes(file: BinaryIO) -> Iterator[int]:
    """Where each node begins."""
    todo = [("model", 0, file.seek(0, os.SEEK_END))]
    while todo:
        message, at, end = todo.pop()
        field = _field(file, at, end)
        if field is None:
            continue
        number, start, after = field
        todo.append((message, after, end))
        inner = _INSIDE[message].get(number)
        if inner:
            todo.append((inner, start, after))
        if inner == "node":
            yield start


def _field(file: BinaryIO, at: int, end: int) -> tuple[int, int, int] | None:
    """Number of the field there, where its value begins, and where it ends; None where there is none."""
    file.seek(at)
    header = file.read(min(_HEADER, max(0, end - at)))
    tag, used = _varint(header, 0)
    value, after = _varint(header, used)
    kind, start = tag & 7, at + used
    if used == 0 or (kind in (_VARINT, _SIZED) and after == used):
        return None
    if kind == _SIZED:
        start, stop = at + after, at + after + value
    elif kind == _VARINT:
        stop = at + after
    else:
        stop = start + _FIXED.get(kind, end)
    return (tag >> 3, start, stop) if stop <= end else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; (0, at) where it does not end."""
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    return 0, at
