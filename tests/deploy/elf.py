"""What a shared library asks of the machine that loads it, read from its ELF headers.

System V ABI, gABI 4.1; LSB 5.0, "Symbol Versioning". 64-bit little-endian only: nothing else runs on Lambda.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MACHINES = {0x3E: "x86_64", 0xB7: "aarch64"}
_VERSION_NEEDS = 0x6FFFFFFE  # sh_type of .gnu.version_r
_DYNAMIC = 6
_DT_NEEDED = 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NEED = struct.Struct("<HHIII")
_NEED_VERSION = struct.Struct("<IHHII")


@dataclass(frozen=True)
class SharedLibrary:
    """machine: as in wheel tags. needed: the libraries it loads. versions: symbol versions it needs (GLIBC_2.17)."""

    machine: str
    needed: frozenset[str]
    versions: frozenset[str]


@dataclass(frozen=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int
    count: int


def read_library(path: Path) -> SharedLibrary:
    """Read a shared library's needs.

    Raises:
        ValueError: it is not a 64-bit little-endian ELF file.
    """
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path.name}: expected a 64-bit little-endian ELF file, got {data[:6]!r}")
    header = _HEADER.unpack_from(data)
    sections = list(_sections(data, offset=header[6], size=header[11], count=header[12]))
    needed = {name for section in sections if section.kind == _DYNAMIC for name in _needed(data, section, sections)}
    versions = {
        name for section in sections if section.kind == _VERSION_NEEDS for name in _versions(data, section, sections)
    }
    return SharedLibrary(MACHINES.get(header[2], hex(header[2])), frozenset(needed), frozenset(versions))


def _sections(data: bytes, *, offset: int, size: int, count: int) -> Iterator[_Section]:
    for index in range(count):
        words = _SECTION.unpack_from(data, offset + index * size)
        yield _Section(kind=words[1], offset=words[4], size=words[5], link=words[6], count=words[7])


def _needed(data: bytes, dynamic: _Section, sections: list[_Section]) -> Iterator[str]:
    strings = sections[dynamic.link].offset
    for tag, value in struct.iter_unpack("<QQ", data[dynamic.offset : dynamic.offset + dynamic.size]):
        if tag == _DT_NEEDED:
            yield _text(data, strings + value)


def _versions(data: bytes, needs: _Section, sections: list[_Section]) -> Iterator[str]:
    strings, at = sections[needs.link].offset, needs.offset
    for _ in range(needs.count):
        _, count, _, first, step = _NEED.unpack_from(data, at)
        entry = at + first
        for _ in range(count):
            _, _, _, name, entry_step = _NEED_VERSION.unpack_from(data, entry)
            yield _text(data, strings + name)
            entry += entry_step
        at += step


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()
