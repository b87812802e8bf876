"""CPU time of other processes, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat after the command's closing bracket (proc(5)).
_GROUP, _USER, _SYSTEM = 2, 11, 12


def group_cpu_s(leader: int) -> float:
    """CPU seconds, so far, of the processes that are alive in the process group of `leader`."""
    group = os.getpgid(leader)
    return sum(int(f[_USER]) + int(f[_SYSTEM]) for f in _stats() if int(f[_GROUP]) == group) * _TICK_S


def _stats() -> Iterator[list[str]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_text().rpartition(")")[2].split()
