"""The faults of one run in one process: which are due, and the note that one was done."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chaos.desk import Desk
from chaos.faults import Fault, Place

# More than a process may have beside what it holds already.
PRESSURE_BYTES = 256 << 20
# Longer than rank 0 or a caller bears it.
FREEZE_S = 30


@dataclass
class Injector:
    """Hands out each fault once.

    done: faults that were handed out by this process.
    end:  ends the process as SIGKILL would; tests put something gentler here, and in the place of
    freeze: which stops it for FREEZE_S.
    """

    desk: Desk
    run_id: str
    faults: tuple[Fault, ...]
    end: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGKILL)
    freeze: Callable[[], None] = lambda: freeze_process()
    _left: dict[Fault, int] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        """Every fault is there as often as it strikes."""
        self._left = {fault: fault.times for fault in self.faults}

    def due(self, place: Place, attempt: int, slot: int, at: int, without: Sequence[str] = ()) -> list[Fault]:
        """The faults that strike here, but for some kinds; each is noted, and handed out `times` times from `at` on."""
        with self._lock:
            faults = [fault for fault in self._left if fault.kind not in without]
            here = [fault for fault in faults if self._strikes(fault, place, attempt, slot, at)]
            for fault in here:
                if self._left[fault] == fault.times:
                    self.desk.note("fault", self.run_id, kind=fault.kind, attempt=attempt, slot=slot, at=at)
                self._left[fault] -= 1
        return here

    def _strikes(self, fault: Fault, place: Place, attempt: int, slot: int, at: int) -> bool:
        where = (fault.place, fault.attempt, fault.slot)
        return where == (place, attempt, slot) and at >= fault.at and self._left[fault] > 0

    def step(self, attempt: int, slot: int, at: int) -> None:
        """Die here, freeze, or run out of memory, if that is the plan.

        Raises:
            MemoryError: the allocator's own.
        """
        for fault in self.due("step", attempt, slot, at):
            if fault.kind == "memory":
                exhaust_memory()
            elif fault.kind == "freeze":
                self.freeze()
            else:
                self.end()


def freeze_process() -> None:
    """Stop this process; a child of it lets it go on after FREEZE_S."""
    alarm = ["/bin/sh", "-c", f"sleep {FREEZE_S}; kill -CONT {os.getpid()}"]
    subprocess.Popen(alarm, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.kill(os.getpid(), signal.SIGSTOP)


def exhaust_memory() -> None:
    """Ask for more memory than the process may have.

    Raises:
        MemoryError: it cannot be had.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + PRESSURE_BYTES, hard))
    try:
        np.ones(PRESSURE_BYTES, np.uint64)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
