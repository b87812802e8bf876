"""Batch calls that fail in part: send again what failed, and only that; and the SDK's errors as ours."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from channels.errors import TransportError

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """Full jitter: before try i, sleep a random part of min(cap_s, start_s * 2**i).

    tries: how often to call in all, >= 1.
    """

    tries: int = 6
    start_s: float = 0.05
    cap_s: float = 2.0

    def delay_s(self, already: int) -> float:
        """Return how long to sleep after `already` + 1 failed calls."""
        return random.uniform(0, min(self.cap_s, self.start_s * 2**already))


@dataclass(frozen=True)
class Failure:
    """One entry of a batch that the service did not take.

    index:     its place in the batch.
    permanent: the entry itself is wrong; sending it again cannot help.
    """

    index: int
    code: str
    permanent: bool = False


def send_in_parts(
    what: str,
    entries: Sequence[T],
    call: Callable[[Sequence[T]], Sequence[Failure]],
    backoff: Backoff,
    sleep: Callable[[float], None],
) -> None:
    """Call with all entries, then with those that failed, until none does.

    Raises:
        TransportError: if an entry failed for good, or there are no tries left.
    """
    failures: Sequence[Failure] = ()
    for attempt in range(backoff.tries):
        if attempt:
            sleep(backoff.delay_s(attempt - 1))
        failures = call(entries)
        if not failures:
            return
        if any(f.permanent for f in failures):
            break
        entries = [entries[f.index] for f in failures]
    codes = ", ".join(sorted({f.code for f in failures}))
    raise TransportError(f"{what}: {len(failures)} entries refused after {attempt + 1} tries: {codes}")


@contextmanager
def service_errors(what: str) -> Iterator[None]:
    """Turn what the AWS SDK raises after its own retries into TransportError.

    Raises:
        TransportError: naming `what` was tried.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise TransportError(f"{what}: {error}") from error
