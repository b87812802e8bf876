"""The body of a payload in as few bytes as are found quickly: elements as they are, masked or one, then zstd or raw.

Chosen per tensor from what is measured on it: on all of a small one, on a probe of a large one.
"""

from __future__ import annotations

from dataclasses import dataclass

from channels.compression import PROBE_ABOVE_BYTES, PROBE_BYTES, Compressor
from channels.masking import WORD_BYTES, constant, mask, words

PLAIN, MASKED, CONSTANT = range(3)

SMALL_ENOUGH = 1 / 32  # compressed / raw from which on nothing else is tried
MIN_MASKED_BYTES = 512


@dataclass(frozen=True)
class Packed:
    """A body that is ready to be sent.

    packing:     PLAIN, MASKED or CONSTANT.
    compression: RAW or ZSTD.
    size:        bytes before compression.
    parts:       what is sent.
    """

    packing: int
    compression: int
    size: int
    parts: list[memoryview]

    @property
    def sent_bytes(self) -> int:
        """Bytes of all parts."""
        return _size(self.parts)


class Packer:
    """Packs the bodies of one channel; not for use by two threads at once."""

    def __init__(self, compressor: Compressor) -> None:
        self._compressor = compressor

    def pack(self, elements: memoryview, word_bytes: int, after: list[memoryview]) -> Packed:
        """The smallest of the packings.

        word_bytes: of an element; 0 if they are not of one size.
        after:      what follows the elements.
        """
        one = constant(words(elements, word_bytes)) if word_bytes in WORD_BYTES else None
        if one is not None:
            return self._compressed(CONSTANT, [one, *after])
        if word_bytes not in WORD_BYTES or len(elements) < MIN_MASKED_BYTES:
            return self._compressed(PLAIN, [elements, *after])
        if len(elements) <= PROBE_ABOVE_BYTES:
            return self._smaller(elements, word_bytes, after)
        probed = self._smaller(_probe(elements, word_bytes), word_bytes, [])
        masked = self._masked(elements, word_bytes, after) if probed.packing == MASKED else None
        return masked or self._compressed(PLAIN, [elements, *after])

    def _smaller(self, elements: memoryview, word_bytes: int, after: list[memoryview]) -> Packed:
        plain = self._compressed(PLAIN, [elements, *after])
        if plain.sent_bytes <= SMALL_ENOUGH * plain.size + _size(after):
            return plain
        masked = self._masked(elements, word_bytes, after)
        return masked if masked and masked.sent_bytes < plain.sent_bytes else plain

    def _masked(self, elements: memoryview, word_bytes: int, after: list[memoryview]) -> Packed | None:
        parts = mask(words(elements, word_bytes))
        return self._compressed(MASKED, [*parts, *after]) if parts else None

    def _compressed(self, packing: int, parts: list[memoryview]) -> Packed:
        compression, stored = self._compressor.shrink([part for part in parts if len(part)])
        return Packed(packing, compression, _size(parts), stored)


def _size(parts: list[memoryview]) -> int:
    return sum(len(part) for part in parts)


def _probe(elements: memoryview, word_bytes: int) -> memoryview:
    """The middle of the elements."""
    middle = (len(elements) - PROBE_BYTES) // 2 // word_bytes * word_bytes
    return elements[middle : middle + PROBE_BYTES]
