"""Tensors and JSON to payloads and back: lossless, bounded, and by view where nothing needs to be copied.

A payload is a head (what it is, its shape, its size, each number in as few bytes as it needs) and a body: the elements,
little-endian in C order, masked where one value is very frequent, then for a LiveTensor the samples, as far as the
receiver does not know them; zstd-compressed where that pays. Decoding trusts nothing: what is declared is held against
the limit before memory is taken, and against what really is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.compression import RAW, Compressor
from channels.dtypes import STRING, from_wire_code, wire_code
from channels.errors import CodecError
from channels.masking import repeat, single, unmask
from channels.packing import CONSTANT, MASKED, PLAIN, Packed, Packer
from channels.precision import reduce, restore, stored_type
from channels.samples import REFERRING, Known, Samples, decode_samples, encode_samples, samples_size
from channels.strings import OBJECT_BYTES, decode_strings, encode_strings
from channels.tags import Tag
from channels.tensors import LiveTensor, Tensor
from channels.varint import pack_uints, read_uints

ARRAY: Final = 1
LIVE: Final = 2
JSON: Final = 3

MAX_JSON_BYTES = 8 << 20
MAX_DIMENSIONS = 64  # numpy's

# kind, element type, compression, packing, sample code, dimensions, body bytes before compression, samples live or not
_HEAD_NUMBERS = 8
_PACKINGS = 8  # the packing's number is packing + 8 x precision

Recall = Callable[[Tag], Samples]
"""The samples of the message that the same source sent under a tag."""


def _no_recall(tag: Tag) -> Samples:
    raise CodecError(f"payload: refers to the samples of {tag}, which are not known here")


class _Head(NamedTuple):
    """What a payload declares.

    size:  bytes of the body before compression, after packing.
    total: samples of a LiveTensor, live or not; 0 for the others.
    known: the message to whose samples the sample code refers.
    precision: code of channels.precision.
    """

    kind: int
    shape: tuple[int, ...]
    size: int
    dtype: int = 0
    compression: int = 0
    samples: int = 0
    total: int = 0
    packing: int = PLAIN
    known: Tag | None = None
    precision: int = 0


class Codec:
    """Encodes and decodes the payloads of one channel; not for use by two threads at once.

    limit_bytes: what a decoded value may take; more is refused when encoding and when decoding.
    precision:   code of channels.precision, for what is encoded; decoding sees what a payload has.
    """

    def __init__(self, limit_bytes: int, level: int = 1) -> None:
        self.precision = 0
        self._limit = limit_bytes
        self._compressor = Compressor(level)
        self._packer = Packer(self._compressor)

    def encode(self, tensor: Tensor, known: Known | None = None) -> bytes:
        """Return the payload of an array of any shape, or of a LiveTensor.

        known: samples of a live tensor that the receiver can recall.

        Raises:
            CodecError: if its type does not travel, it contradicts itself, or it is above the limit.
        """
        if isinstance(tensor, LiveTensor):
            return self._encode_live(tensor, known)
        return self._encode_array(np.asarray(tensor))

    def encode_json(self, value: object) -> bytes:
        """Return the payload of a JSON value.

        Raises:
            CodecError: if it is no JSON value (NaN is none), or above MAX_JSON_BYTES.
        """
        try:
            body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise CodecError(f"control message: expected a JSON value: {error}") from error
        if len(body) > MAX_JSON_BYTES:
            raise CodecError(f"control message: expected at most {MAX_JSON_BYTES} bytes of JSON, got {len(body)}")
        # As it is: a report states what sending it costs, so its size must follow its length.
        return self._seal(_Head(JSON, (), len(body)), Packed(PLAIN, RAW, len(body), [memoryview(body)]))

    def decode(self, payload: bytes | memoryview, recall: Recall = _no_recall) -> Tensor:
        """Return the tensor of a payload; its elements may be a read-only view of `payload`.

        recall: what finds the samples that a live tensor refers to.

        Raises:
            CodecError: if the payload is no tensor, contradicts itself, or is above the limit.
            Whatever `recall` raises.
        """
        head, body = self._open(memoryview(payload))
        if head.kind == ARRAY:
            return _decode_array(head, body)
        if head.kind == LIVE:
            return _decode_live(head, body, recall(head.known) if head.known else None)
        raise CodecError(f"payload: expected a tensor, got kind {head.kind}")

    def decode_json(self, payload: bytes | memoryview) -> object:
        """Return the JSON value of a payload.

        Raises:
            CodecError: if the payload is no JSON.
        """
        head, body = self._open(memoryview(payload))
        if head.kind != JSON:
            raise CodecError(f"payload: expected JSON, got kind {head.kind}")
        try:
            return json.loads(bytes(body))
        except (ValueError, RecursionError) as error:
            raise CodecError(f"payload: expected JSON: {error}") from error

    def _encode_array(self, array: NDArray[np.generic]) -> bytes:
        dtype = wire_code(array)
        text = dtype == STRING
        if text:
            packed = self._packer.pack(memoryview(encode_strings(array)), 0, [])
            return self._seal(_Head(ARRAY, array.shape, packed.size, dtype), packed)
        precision, body, word_bytes = self._elements_of(array)
        packed = self._packer.pack(body, word_bytes, [])
        return self._seal(_Head(ARRAY, array.shape, packed.size, dtype, precision=precision), packed)

    def _elements_of(self, array: NDArray[np.generic]) -> tuple[int, memoryview, int]:
        """(precision, bytes, bytes of an element)."""
        return reduce(array, self.precision) or (0, _element_bytes(array), array.itemsize)

    def _encode_live(self, live: LiveTensor, known: Known | None) -> bytes:
        if live.values.ndim != 2 or live.values.shape[1:] != live.samples.shape or live.values.dtype.kind in "OU":
            raise CodecError(
                "live tensor: expected numbers [features, live] and samples [live], "
                f"got {live.values.dtype} {live.values.shape} and {live.samples.shape}"
            )
        code, samples = encode_samples(live.samples, live.total, known.samples if known else None)
        precision, body, word_bytes = self._elements_of(live.values)
        packed = self._packer.pack(body, word_bytes, [memoryview(samples)])
        head = _Head(
            LIVE,
            live.values.shape,
            packed.size,
            wire_code(live.values),
            samples=code,
            total=live.total,
            known=known.tag if known and code in REFERRING else None,
            precision=precision,
        )
        return self._seal(head, packed)

    def _seal(self, head: _Head, packed: Packed) -> bytes:
        head = head._replace(compression=packed.compression, packing=packed.packing)
        _check_bounds(head, self._limit)
        return b"".join((_pack_head(head), *packed.parts))

    def _open(self, payload: memoryview) -> tuple[_Head, memoryview]:
        head, start = _read_head(payload)
        _check_bounds(head, self._limit)
        return head, self._compressor.restore(head.compression, payload[start:], head.size)


def _element_bytes(array: NDArray[np.generic]) -> memoryview:
    """View an array's elements as bytes, little-endian in C order; copies only if they are not."""
    plain = np.asarray(array, order="C", dtype=from_wire_code(wire_code(array)))
    return plain.reshape(-1).view(np.uint8).data


def _pack_head(head: _Head) -> bytes:
    packing = head.packing + _PACKINGS * head.precision
    codes = (head.kind, head.dtype, head.compression, packing, head.samples, len(head.shape))
    known = (head.known.step, head.known.micro_batch) if head.known else ()
    return pack_uints((*codes, head.size, head.total, *head.shape, *known))


def _read_head(payload: memoryview) -> tuple[_Head, int]:
    try:
        numbers, at = read_uints(payload, 0, _HEAD_NUMBERS)
        kind, dtype, compression, packed, samples, dimensions, size, total = numbers
        precision, packing = divmod(packed, _PACKINGS)
        if dimensions > MAX_DIMENSIONS:
            raise CodecError(f"payload: expected at most {MAX_DIMENSIONS} dimensions, got {dimensions}")
        shape, at = read_uints(payload, at, dimensions)
        known, at = read_uints(payload, at, 2 if kind == LIVE and samples in REFERRING else 0)
    except ValueError as error:
        raise CodecError(f"payload head: {error}") from error
    tag = Tag(*known) if known else None
    return _Head(kind, tuple(shape), size, dtype, compression, samples, total, packing, tag, precision), at


def _check_bounds(head: _Head, limit: int) -> None:
    """Refuse what would take more memory than the limit, before it is taken."""
    needed = max(head.size, math.prod(max(1, d) for d in head.shape))  # numpy bounds the shape of empty arrays too
    if head.packing in (MASKED, CONSTANT) or head.precision:
        needed = max(needed, from_wire_code(head.dtype).itemsize * math.prod(head.shape))
    if head.kind == JSON:
        limit = min(limit, MAX_JSON_BYTES)
    elif head.kind == LIVE:
        needed += head.total + 4 * head.shape[-1] if head.shape else 0  # a bitmap's bits unpacked, and samples
    elif head.dtype == STRING:
        needed += OBJECT_BYTES * math.prod(head.shape)
    if needed > limit:
        raise CodecError(f"payload: expected a value of at most {limit} bytes, got one of {needed}")


def _decode_array(head: _Head, body: memoryview) -> NDArray[np.generic]:
    if head.dtype == STRING:
        return decode_strings(body, head.shape, math.prod(head.shape))
    return _elements(head, body)


def _decode_live(head: _Head, body: memoryview, known: Samples | None) -> LiveTensor:
    if len(head.shape) != 2:
        raise CodecError(f"payload: expected a live tensor of 2 dimensions, got {head.shape}")
    live = head.shape[1]
    cut = len(body) - samples_size(head.samples, live, head.total, known)
    if cut < 0:
        raise CodecError(f"payload: {len(body)} bytes are too few for {live} samples of {head.total}")
    values = _live_values(head, body[:cut])
    return LiveTensor(values, decode_samples(head.samples, body[cut:], live, head.total, known), head.total)


def _live_values(head: _Head, body: memoryview) -> NDArray[np.generic]:
    """Elements; where all have one value, a view of that: what places the rows needs no copy here."""
    if head.packing != CONSTANT or head.precision:
        return _elements(head, body)
    dtype = from_wire_code(head.dtype)
    return np.ndarray(head.shape, dtype, single(body, dtype.itemsize), strides=(0, 0))


def _elements(head: _Head, body: memoryview) -> NDArray[np.generic]:
    dtype = from_wire_code(head.dtype)
    count, word_bytes = math.prod(head.shape), stored_type(head.precision, dtype).itemsize
    if head.packing == MASKED:
        body = unmask(body, count, word_bytes)
    elif head.packing == CONSTANT:
        body = repeat(body, count, word_bytes)
    elif head.packing != PLAIN:
        raise CodecError(f"payload: unknown packing {head.packing}, expected {PLAIN} to {CONSTANT}")
    body = restore(body, head.precision, dtype)
    if count * dtype.itemsize != len(body):
        raise CodecError(f"payload: expected {dtype} {head.shape}, got {len(body)} bytes")
    array = np.frombuffer(body, dtype=dtype).reshape(head.shape)
    return array if array.flags.aligned else array.copy()
