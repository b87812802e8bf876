"""The cores of this process, and threads for them."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@functools.cache
def core_threads() -> ThreadPoolExecutor:
    """A thread for each core, for work that holds no lock of the interpreter; made when it is first needed."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="core")
