"""Index maps of a `rows` exchange: who sends which of its rows to whom, and where they go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from partition.sparse.assignment import Rows


@dataclass(frozen=True, eq=False)
class RowMaps:
    """One rank's maps, as the machine reads them; see engine.program.Exchange.maps.

    send_ptr, recv_ptr:   [P + 1] int32.
    send_rows, recv_rows: int32; positions within the rows held, and within the rows wanted.
    rows:                 number of rows wanted.
    """

    send_ptr: Rows
    send_rows: Rows
    recv_ptr: Rows
    recv_rows: Rows
    rows: int


def row_maps(held: tuple[Rows, ...], wanted: tuple[Rows, ...], rank: int) -> RowMaps:
    """The maps of one rank.

    held, wanted: by rank, numbers of the rows that it holds and wants, ascending.
    """
    sends = [_positions(held[rank], rows) for rows in wanted]
    receives = [_positions(wanted[rank], rows) for rows in held]
    return RowMaps(*_packed(sends), *_packed(receives), rows=wanted[rank].size)


def rows_sent(held: tuple[Rows, ...], wanted: tuple[Rows, ...]) -> int:
    """Rows that travel between different ranks."""
    pairs = ((h, w) for i, h in enumerate(held) for j, w in enumerate(wanted) if i != j)
    return sum(_positions(h, w).size for h, w in pairs)


def _positions(mine: Rows, others: Rows) -> Rows:
    """Where in `mine` the numbers that are also in `others` are."""
    return np.flatnonzero(np.isin(mine, others, assume_unique=True)).astype(np.int32)


def _packed(parts: list[Rows]) -> tuple[Rows, Rows]:
    pointers = np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int32)
    return pointers, np.concatenate([np.zeros(0, np.int32), *parts])
