"""Which exchanges of rows one rank hands on, and which rank that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costs.exchanged import relay_pays


@dataclass(frozen=True)
class Relay:
    """Who hands on.

    rank:    -1 = nobody does.
    senders: ranks that have rows for another one.
    on:      the kinds of channel for which it pays.
    """

    rank: int = -1
    senders: tuple[int, ...] = ()
    on: tuple[str, ...] = ()


NOBODY = Relay()


def relay_of(between: NDArray[np.int64]) -> Relay:
    """The relay of an exchange of [P, P] rows from rank to rank, where that costs less.

    Always the last rank: who hands on is done first, and is not to be late in the next exchange. Rank 0 has the run to
    look after.
    """
    travelling = between > 0
    np.fill_diagonal(travelling, False)
    senders, readers = (np.flatnonzero(travelling.any(axis=axis)) for axis in (1, 0))
    on = relay_pays(senders.size, readers.size, int(travelling.sum()))
    return Relay(len(between) - 1, tuple(senders.tolist()), on) if on else NOBODY
