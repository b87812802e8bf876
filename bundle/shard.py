"""Shards: raw little-endian tensors, each aligned, in one file. Written as a stream, read without copying.

The layout is that of an ONNX external-data file, so a sub-graph can refer to it by offset and length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bundle.check import entry_violations
from bundle.dtypes import byte_count, dtype_name, numpy_dtype
from bundle.errors import BundleError, CorruptBundleError
from bundle.manifest import ALIGNMENT, Asset, TensorEntry

_BLOCK_BYTES = 4 << 20

Chunk = NDArray[np.generic] | bytes | bytearray | memoryview


@dataclass(frozen=True)
class ShardIndex:
    """What was written: the index for the manifest, and the asset it belongs to."""

    entries: tuple[TensorEntry, ...]
    asset: Asset


class ShardWriter:
    """Appends tensors to a binary file object, block by block, hashing on the way.

    file: open for writing; only `write` is used, so a pipe or a hasher will do.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self._entries: dict[str, TensorEntry] = {}

    def add(self, name: str, array: NDArray[np.generic]) -> TensorEntry:
        """Append an array of any shape, strides and byte order.

        Raises:
            BundleError: if the name was used before.
            ValueError: if the dtype cannot be stored.
        """
        return self.add_chunks(name, dtype_name(array.dtype), array.shape, [array])

    def add_chunks(self, name: str, dtype: str, shape: tuple[int, ...], chunks: Iterable[Chunk]) -> TensorEntry:
        """Append a tensor that arrives in pieces, in C order.

        chunks: arrays of `dtype`, or raw little-endian bytes (packed dtypes must come as bytes).

        Raises:
            BundleError: if the name was used before, or the pieces do not make up the shape; do not go on then.
            ValueError: if the dtype cannot be stored.
        """
        if name in self._entries:
            raise BundleError(f"shard: tensor {name!r} was added before")
        self._write(bytes(-self._size % ALIGNMENT))
        entry = TensorEntry(name, dtype, tuple(int(size) for size in shape), self._size, byte_count(dtype, shape))
        for chunk in chunks:
            self._write_chunk(dtype, chunk)
        if self._size - entry.offset != entry.nbytes:
            written = self._size - entry.offset
            raise BundleError(f"shard: tensor {name!r}: expected {entry.nbytes} bytes, got {written}")
        self._entries[name] = entry
        return entry

    def finish(self) -> ShardIndex:
        """The index of all tensors and the asset of all bytes; the file stays open."""
        return ShardIndex(tuple(self._entries.values()), Asset(self._hash.hexdigest(), self._size, "shard"))

    def _write_chunk(self, dtype: str, chunk: Chunk) -> None:
        if not isinstance(chunk, np.ndarray):
            self._write(chunk)
            return
        if dtype_name(chunk.dtype) != dtype:
            raise BundleError(f"shard: expected a chunk of {dtype}, got {chunk.dtype.name}")
        for block in _blocks(chunk, numpy_dtype(dtype)):
            self._write(block.view(np.uint8).data)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)


def _blocks(array: NDArray[np.generic], dtype: np.dtype[np.generic]) -> Iterator[NDArray[np.generic]]:
    """Flat C-ordered little-endian pieces of an array, of at most _BLOCK_BYTES where they have to be copied."""
    if array.flags.c_contiguous and array.dtype == dtype:
        yield array.reshape(-1)
    elif array.nbytes <= _BLOCK_BYTES or array.ndim == 0:
        yield array.astype(dtype, order="C").reshape(-1)
    else:
        rows = max(1, _BLOCK_BYTES * len(array) // array.nbytes)
        for start in range(0, len(array), rows):  # as slices: numpy's flat iterator is ten times slower
            yield from _blocks(array[start] if rows == 1 else array[start : start + rows], dtype)


def read_shard(blob: bytes | memoryview, entries: Iterable[TensorEntry]) -> Mapping[str, NDArray[np.generic]]:
    """Read-only views of the tensors of a shard, by name; nothing is copied. Packed dtypes are left out.

    Raises:
        CorruptBundleError: if an entry does not fit the blob.
    """
    views = ((entry.name, tensor_view(blob, entry)) for entry in entries)
    return {name: view for name, view in views if view is not None}


def tensor_view(blob: bytes | memoryview, entry: TensorEntry) -> NDArray[np.generic] | None:
    """A read-only view of one tensor; None where numpy has no such dtype.

    Raises:
        CorruptBundleError: if the entry does not fit the blob.
    """
    for violation in entry_violations(f"shard tensor {entry.name!r}", entry, len(blob)):
        raise CorruptBundleError(violation)
    try:
        dtype = numpy_dtype(entry.dtype)
    except ValueError:
        return None
    view = np.frombuffer(blob, np.uint8, entry.nbytes, entry.offset).view(dtype).reshape(entry.shape)
    view.flags.writeable = False
    return view
