"""Reads an .npz that anybody may have written: what it declares is held against its size before memory is taken.

Written are .npz files as numpy's, under any name, and packed faster.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from tokenize import TokenError
from typing import IO, Any

from numpy.lib import format as npy
from numpy.typing import NDArray

# What zipfile, zlib and numpy's reader of headers say of bytes that are no .npz.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
)
_SUFFIX = ".npy"
# Takes a third of the time of zlib's own choice, which numpy takes: 0.1 s for the 40 MB of zeros that an answer of the
# Graph Challenge mostly is. Half-dense floats become a fortieth larger, zeros 182 kB instead of 42.
_LEVEL = 3


class NpzError(ValueError):
    """The bytes are no .npz of plain arrays, or more than they may be."""


def read_npz(data: bytes, max_bytes: int) -> dict[str, NDArray[Any]]:
    """The arrays, by name.

    max_bytes: of all arrays together, unpacked.

    Raises:
        NpzError: in one line.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if size > max_bytes:
                raise NpzError(f"expected at most {max_bytes} bytes unpacked, got {size}")
            return {entry.filename.removesuffix(_SUFFIX): _read(archive, entry) for entry in entries}
    except NpzError:
        raise
    except _BROKEN as error:
        raise NpzError(f"expected an .npz of arrays without objects: {' '.join(str(error).split())[:200]}") from error


def write_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz of arrays, by name.

    Raises:
        ValueError: if one holds objects.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, array in arrays.items():
            with archive.open(name + _SUFFIX, "w", force_zip64=True) as file:
                npy.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as file:
        _check_header(file, entry)
    with archive.open(entry) as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array


def _check_header(file: IO[bytes], entry: zipfile.ZipInfo) -> None:
    """Hold the size that a header declares against that of its file: numpy takes the memory before it reads."""
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
    if read is None:
        raise NpzError(f"{entry.filename[:80]!r}: expected version 1 or 2 of the .npy format")
    shape, _, dtype = read(file)
    if dtype.hasobject or dtype.names:
        raise NpzError(f"{entry.filename[:80]!r}: expected an array without objects, got elements {str(dtype)[:80]}")
    declared, there = math.prod(shape) * dtype.itemsize, entry.file_size - file.tell()
    if min(shape, default=0) < 0 or declared != there:
        raise NpzError(f"{entry.filename[:80]!r}: expected {there} bytes of plain numbers, its header says {declared}")
