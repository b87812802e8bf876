"""Mutants of bytes: flipped, cut, grown, spliced, and with the numbers in them that break things."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

NUMBERS = [0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1]
TEXTS = [b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"99999999999999999999", b"../../x", b"\x00", b"\xff"]

Mutation = Callable[[random.Random, bytearray], None]


def mutant(dice: random.Random, seeds: Sequence[bytes], most: int = 4) -> bytes:
    """One of `seeds` after one to `most` mutations."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, most)):
        dice.choice(_MUTATIONS)(dice, data)
    if dice.random() < 0.1:
        other = dice.choice(seeds)
        data[dice.randrange(len(data) + 1) :] = other[dice.randrange(len(other) + 1) :]
    return bytes(data)


def _at(dice: random.Random, data: bytearray) -> int:
    """A place; more often near the start, where the heads are."""
    return dice.randrange(min(len(data), 64) if dice.random() < 0.5 else len(data)) if data else 0


def _flip_bit(dice: random.Random, data: bytearray) -> None:
    if data:
        data[_at(dice, data)] ^= 1 << dice.randrange(8)


def _set_byte(dice: random.Random, data: bytearray) -> None:
    if data:
        data[_at(dice, data)] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))


def _set_number(dice: random.Random, data: bytearray) -> None:
    at, width = _at(dice, data), dice.choice("BHIQ")
    size = struct.calcsize(width)
    data[at : at + size] = (dice.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(size, dice.choice(("little", "big")))


def _set_varint(dice: random.Random, data: bytearray) -> None:
    number, packed = dice.choice(NUMBERS), bytearray()
    while number >= 128:
        packed.append(number & 127 | 128)
        number >>= 7
    packed.append(number)
    at = _at(dice, data)
    data[at : at + dice.choice((1, len(packed)))] = packed


def _insert(dice: random.Random, data: bytearray) -> None:
    at = _at(dice, data)
    data[at:at] = dice.choice((dice.randbytes(dice.randint(1, 16)), dice.choice(TEXTS)))


def _delete(dice: random.Random, data: bytearray) -> None:
    at = _at(dice, data)
    del data[at : at + dice.choice((1, 1, 2, 8, len(data)))]


def _repeat(dice: random.Random, data: bytearray) -> None:
    at = _at(dice, data)
    data[at:at] = bytes(data[at : at + dice.randint(1, 32)]) * dice.choice((1, 2, 50))


_MUTATIONS: list[Mutation] = [_flip_bit, _set_byte, _set_number, _set_varint, _insert, _delete, _repeat]
