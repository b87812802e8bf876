"""Builds the libraries for both architectures of Lambda with zig's C compiler: `python -m engine.native.build`.

Against glibc 2.17, so that they load on every runtime of Lambda and nearly every Linux. The result depends on the
sources and on zig's version alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from engine.native.library import FOLDER, library_file

SOURCE = FOLDER / "sparse.c"
TARGETS = {"x86_64": "x86_64-linux-gnu.2.17", "arm64": "aarch64-linux-gnu.2.17"}
# No fused multiply-add: the same bits on every processor, and those of the numpy reference.
_FLAGS = ("-O3", "-ffp-contract=off", "-shared", "-fPIC", "-s", "-Wall", "-Werror", "-Wno-unknown-pragmas")


def build(architecture: str, cache: Path) -> Path:
    """Compile the library for one architecture and return where it lies.

    Raises:
        CalledProcessError: if the compiler refuses it.
    """
    path = library_file(architecture)
    unfinished = path.with_suffix(f".{os.getpid()}")
    target = ["-target", TARGETS[architecture], "-o", str(unfinished)]
    folders = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, *target, SOURCE.name]
    subprocess.run(command, cwd=FOLDER, env={**os.environ, **folders}, check=True)
    unfinished.replace(path)
    return path


def main() -> None:
    """Build for all architectures."""
    with tempfile.TemporaryDirectory(prefix="fsd-zig-") as cache:
        for architecture in TARGETS:
            build(architecture, Path(cache))


if __name__ == "__main__":
    main()
