"""Adds to zips the bytecode of their Python files: python bytecode.py ZIP...

Lambda's folders are read-only: without it, every cold start compiles every module again. A zip keeps no exact times, so
the bytecode is of the kind that is not checked against its source. Same zip and interpreter, same bytes.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

MODE = 0o100644


def bytecode(source: bytes, name: str, folder: Path) -> bytes:
    """The .pyc of a module's text; `name` is its path in the zip.

    Raises:
        py_compile.PyCompileError: it is no Python.
    """
    (folder / "module.py").write_bytes(source)
    made = py_compile.compile(
        str(folder / "module.py"),
        str(folder / "module.pyc"),
        dfile=name,
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return Path(made or "").read_bytes()


def compiled(archive: ZipFile, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each .pyc that the zip does not have; files that are no Python of this version have none."""
    present = set(archive.namelist())
    for name in sorted(present):
        target = importlib.util.cache_from_source(name) if name.endswith(".py") else name
        if target in present:
            continue
        try:
            yield target, bytecode(archive.read(name), name, folder)
        except py_compile.PyCompileError:
            continue


def add_bytecode(file: Path) -> None:
    """Add it to one zip, which is replaced as a whole: a half of it is never there."""
    with tempfile.TemporaryDirectory(dir=file.resolve().parent) as name:
        folder = Path(name)
        copy = folder / "new.zip"
        copy.write_bytes(file.read_bytes())
        with ZipFile(copy, "a", ZIP_DEFLATED, compresslevel=9) as archive:
            for target, content in list(compiled(archive, folder)):
                entry = ZipInfo(target)
                entry.external_attr = MODE << 16
                entry.compress_type = ZIP_DEFLATED
                archive.writestr(entry, content, compresslevel=9)
        os.replace(copy, file.resolve())


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        add_bytecode(Path(argument))
