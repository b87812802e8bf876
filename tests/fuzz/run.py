"""`make fuzz`: mutants of every target in processes of their own, whose memory and time are bounded.

A mutant that ends a process, hangs it, or makes it take more than MEMORY_BYTES beside what it had before is kept in a
file and fails the run; so does an error that is not the target's own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS

# What a process may take for a mutant, beside what it held before the first.
MEMORY_BYTES = 512 << 20
HANG_S = 20
# So many mutants make one process: a crash costs no more than the rest of them.
BATCH = {"onnx": 50}
DEFAULT_BATCH = 5_000
# Enough to see what is wrong.
MAX_FAILURES = 5


@dataclass(frozen=True)
class Outcome:
    """What fuzzing a target found.

    grown_bytes: most that a process took beside what it held before its first mutant.
    failures:    one line for each mutant that broke something.
    """

    target: str
    mutants: int
    seconds: float
    grown_bytes: int
    failures: tuple[str, ...]


def fuzz(target: str, seed: int, count: int, seconds: float, folder: Path) -> Outcome:
    """Try `count` mutants, or as many as `seconds` allow."""
    started, done, grown = time.monotonic(), 0, 0
    failures: list[str] = []
    while done < count and len(failures) < MAX_FAILURES and time.monotonic() - started < seconds:
        size = min(BATCH.get(target, DEFAULT_BATCH), count - done)
        until = started + seconds - time.monotonic()
        tried, more, failure = _batch(target, seed, done, size, until, folder)
        done, grown = done + tried, max(grown, more)
        if failure:
            failures.append(failure)
    return Outcome(target, done, time.monotonic() - started, grown, tuple(failures))


def _batch(target: str, seed: int, first: int, size: int, seconds: float, folder: Path) -> tuple[int, int, str]:
    """Mutants tried, bytes grown, and what broke, of one process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    number = context.RawValue("q", first)
    process = context.Process(target=_work, args=(target, seed, number, size, seconds, theirs))
    process.start()
    theirs.close()
    try:
        grown, failure = ours.recv()
    except EOFError:
        grown, failure = 0, ""
    process.join()
    ours.close()
    if process.exitcode:
        failure = f"process ended with {process.exitcode}"
    if failure:
        file = _keep(target, seed, number.value, folder)
        failure = f"{target}: mutant {number.value} of seed {seed}: {failure}: see {file}"
    return number.value + 1 - first, grown, failure


def _keep(target: str, seed: int, number: int, folder: Path) -> Path:
    """A mutant in a file."""
    file = folder / f"{target}.{seed}.{number}"
    file.write_bytes(_mutant(target, seed, number, TARGETS[target].seeds()))
    return file


def _mutant(target: str, seed: int, number: int, seeds: Sequence[bytes]) -> bytes:
    return TARGETS[target].mutant(random.Random(f"{seed}:{target}:{number}"), seeds)


def _work(
    target: str,
    seed: int,
    number: Any,
    size: int,
    seconds: float,
    answer: multiprocessing.connection.Connection,
) -> None:
    """Try mutants from `number` on, which says where this process is in case that it ends."""
    check, seeds = TARGETS[target].check, TARGETS[target].seeds()
    for data in seeds:
        check(data)
    before = _peak_bytes()
    _bound_memory()
    until, last, failure = time.monotonic() + seconds, number.value + size - 1, ""
    while True:
        signal.setitimer(signal.ITIMER_REAL, HANG_S)  # nobody handles it: the process ends
        failure = _failure(check, _mutant(target, seed, number.value, seeds))
        if failure or number.value == last or time.monotonic() > until:
            break
        number.value += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    answer.send((_peak_bytes() - before, failure))


def _failure(check: Callable[[bytes], None], data: bytes) -> str:
    """The error that a target let through, in one line; empty when it did not."""
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]} ({Path(where.filename).name}:{where.lineno})"
        )
    return ""


def _bound_memory() -> None:
    """More memory than MEMORY_BYTES beside what is held by now is not to be had."""
    held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (held + MEMORY_BYTES, held + MEMORY_BYTES))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def line(found: Outcome) -> str:
    """What a target's fuzzing found, for a reader."""
    more = f"at most {found.grown_bytes >> 20} MiB more, {len(found.failures)} broke it"
    return f"{found.target}: {found.mutants} mutants in {found.seconds:.0f} s, {more}"


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), choices=list(TARGETS), metavar="TARGET")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="mutants of each target")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time for each target")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """1 when a mutant broke something."""
    options = _arguments(words)
    if (options.count, options.seconds) == (sys.maxsize, float("inf")):
        options.seconds = 60.0
    folder = Path(tempfile.mkdtemp(prefix="fsd-fuzz-"))
    broken = 0
    for target in options.targets:
        found = fuzz(target, options.seed, options.count, options.seconds, folder)
        broken += len(found.failures)
        print(line(found))
        print("\n".join(found.failures), end="\n" if found.failures else "", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
