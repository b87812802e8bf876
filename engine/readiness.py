"""Which ranks' parts each row of a layer reads: a row can be computed when all of them are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.csr import Csr

# Expected share of a layer's entries that are complete before the last part is there, from which on they are looked at.
WORTH_SHARE = 1 / 16


@dataclass(frozen=True, eq=False)
class Readiness:
    """Of a layer behind an exchange of rows.

    parts:   [rows] of how many parts each row reads something, the own one included.
    readers: by position in the group, the rows that read something of its part.
    entries: [rows] how many entries each row has.
    """

    parts: NDArray[np.int32]
    readers: tuple[NDArray[np.int64], ...]
    entries: NDArray[np.int32]


def readiness(matrix: Csr, recv: Sequence[NDArray[np.int32]], own: int) -> Readiness | None:
    """What each row waits for; None if that is nearly always the last part.

    recv: by position in the group, which columns of the matrix its part fills; -1 = none. own: the own position.
    """
    entries = np.diff(matrix.indptr)
    reads = _reads(matrix, recv, entries)
    others = [i for i, rows in enumerate(recv) if rows.size and i != own]
    share = expected_share(reads[:, others].sum(axis=1), entries, len(others))
    if share < WORTH_SHARE:
        return None
    readers = tuple(np.flatnonzero(column) for column in reads.T)
    return Readiness(reads.sum(axis=1, dtype=np.int32), readers, entries)


def expected_share(awaited: NDArray[np.integer], entries: NDArray[np.integer], others: int) -> float:
    """Share of all entries that are in rows which are complete before the last of `others` parts comes.

    The parts come in random order. awaited: [rows] how many of them each row reads. entries: [rows].
    """
    if not others or not entries.sum():
        return 0.0
    return float(entries @ (1 - awaited / others) / entries.sum())


def _reads(matrix: Csr, recv: Sequence[NDArray[np.int32]], entries: NDArray[np.integer]) -> NDArray[np.bool_]:
    """[rows, P] whether a row reads something of a part."""
    nobody = len(recv)
    source = np.full(max(matrix.highest, *(int(rows.max(initial=-1)) for rows in recv)) + 1, nobody, np.int32)
    for i, rows in enumerate(recv):
        source[rows[rows >= 0]] = i
    reads = np.zeros((matrix.rows, nobody + 1), np.bool_)
    reads[np.repeat(np.arange(matrix.rows), entries), source[matrix.indices]] = True
    return reads[:, :nobody]
