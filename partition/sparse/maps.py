"""Index maps of a `rows` exchange: who sends which of its rows to whom, and where they go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partition.sparse.weights import Rows


@dataclass(frozen=True, eq=False)
class RowMaps:
    """One rank's maps, as the machine reads them; see engine.program.Exchange.maps.

    send_ptr, recv_ptr:   [P + 1] int32.
    send_rows, recv_rows: int32; positions within the rows held, and within the rows kept, -1 for one that is not.
    rows:                 number of rows kept.
    """

    send_ptr: Rows
    send_rows: Rows
    recv_ptr: Rows
    recv_rows: Rows
    rows: int


def row_maps(
    held: tuple[Rows, ...],
    wanted: tuple[Rows, ...],
    rank: int,
    place: NDArray[np.int64] | None = None,
    kept: Rows | None = None,
) -> RowMaps:
    """The maps of one rank.

    held, wanted: by rank, numbers of the rows that it holds and gets, ascending.
    place:        [n] of each row in a message; None = ascending by number.
    kept:         of the rows that this rank gets, those that it needs; None = all.
    """
    size = 1 + max((int(rows[-1]) for rows in (*held, *wanted) if rows.size), default=-1)
    sends = _in_each(held[rank], wanted, size, place)
    receives = _in_each(wanted[rank], held, size, place)
    if kept is None:
        return RowMaps(*_packed(sends), *_packed(receives), rows=wanted[rank].size)
    position = np.full(size, -1, np.int32)
    position[kept] = np.arange(kept.size, dtype=np.int32)
    receives = [position[wanted[rank][rows]] for rows in receives]
    return RowMaps(*_packed(sends), *_packed(receives), rows=kept.size)


def rows_between(held: tuple[Rows, ...], wanted: tuple[Rows, ...]) -> NDArray[np.int64]:
    """[P, P]: how many rows rank i holds that rank j wants; on the diagonal those that stay."""
    size = 1 + max((int(rows[-1]) for rows in (*held, *wanted) if rows.size), default=-1)
    wants = np.array([_mask(rows, size) for rows in wanted])
    return np.array([np.count_nonzero(wants[:, rows], axis=1) for rows in held], np.int64)


def rows_sent(held: tuple[Rows, ...], wanted: tuple[Rows, ...]) -> int:
    """Rows that travel between different ranks."""
    between = rows_between(held, wanted)
    return int(between.sum() - between.trace())


def _in_each(mine: Rows, others: tuple[Rows, ...], size: int, place: NDArray[np.int64] | None) -> list[Rows]:
    """For each of `others`, where in `mine` the numbers are that are in both, in the order of a message."""
    position = np.full(size, -1, np.int32)
    position[mine] = np.arange(mine.size, dtype=np.int32)
    found = (position[rows] for rows in others)
    return [_placed(mine, positions[positions >= 0], place) for positions in found]


def _placed(rows: Rows, positions: Rows, place: NDArray[np.int64] | None) -> Rows:
    """Positions within `rows`, in the order of a message."""
    return positions if place is None else positions[np.argsort(place[rows[positions]])]


def _mask(rows: Rows, size: int) -> NDArray[np.bool_]:
    mask = np.zeros(size, np.bool_)
    mask[rows] = True
    return mask


def _packed(parts: list[Rows]) -> tuple[Rows, Rows]:
    pointers = np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int32)
    return pointers, np.concatenate([np.zeros(0, np.int32), *parts])
