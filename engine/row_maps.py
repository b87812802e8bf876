"""Index maps of an exchange of kind "rows": which of my rows each rank reads, and where those I read go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.errors import ProgramError
from engine.program import Exchange


@dataclass(frozen=True, eq=False)
class RowMaps:
    """By position in the group: local row numbers to send, and positions in the output to fill.

    send[i]: rows that the i-th rank of the group reads; the own entry are the rows that stay. Equal ones are one
             object.
    recv[i]: positions in the output, all different, of the rows that come from the i-th rank; -1 = not kept: a message
             that is the same for several ranks has rows that this one does not read.
    """

    send: tuple[NDArray[np.int32], ...]
    recv: tuple[NDArray[np.int32], ...]

    @cached_property
    def highest_sent(self) -> int:
        """Highest local row number that is read; -1 if none."""
        return max((int(rows.max()) for rows in self.send if rows.size), default=-1)

    @cached_property
    def kept(self) -> tuple[NDArray[np.int32] | None, ...]:
        """Which rows of those that come from the i-th rank are kept; None = all."""
        return tuple(None if (rows >= 0).all() else np.flatnonzero(rows >= 0).astype(np.int32) for rows in self.recv)

    @cached_property
    def places(self) -> tuple[NDArray[np.int32], ...]:
        """Positions in the output of the rows that are kept."""
        return tuple(rows if kept is None else rows[kept] for rows, kept in zip(self.recv, self.kept, strict=True))


def row_maps(exchange: Exchange, weights: Mapping[str, NDArray[np.generic]]) -> RowMaps:
    """The maps of an exchange from the rank's shard, checked.

    Raises:
        ProgramError: if one is missing or out of range.
    """
    size = len(exchange.group)
    send = _segments(exchange, weights, "send", size)
    maps = RowMaps(_interned(send), _segments(exchange, weights, "recv", size))
    for rows in maps.places:
        if rows.size and (rows.max() >= exchange.rows or np.unique(rows).size != rows.size):
            raise ProgramError(f"step {exchange.step}: recv_rows: expected different rows below {exchange.rows}")
    return maps


def _interned(parts: tuple[NDArray[np.int32], ...]) -> tuple[NDArray[np.int32], ...]:
    """Equal arrays as one object: what is the same for several ranks is taken and encoded once."""
    known: dict[bytes, NDArray[np.int32]] = {}
    return tuple(known.setdefault(part.tobytes(), part) for part in parts)


def _segments(
    exchange: Exchange, weights: Mapping[str, NDArray[np.generic]], side: str, size: int
) -> tuple[NDArray[np.int32], ...]:
    where, least = f"step {exchange.step}: {exchange.maps}.{side}", -1 if side == "recv" and not exchange.reduce else 0
    try:
        ptr, rows = (weights[f"{exchange.maps}.{side}_{part}"] for part in ("ptr", "rows"))
    except KeyError as error:
        raise ProgramError(f"{where}: tensor {error} is not in the shard") from error
    if ptr.dtype != np.int32 or rows.dtype != np.int32 or ptr.shape != (size + 1,) or rows.ndim != 1:
        raise ProgramError(f"{where}_ptr: expected int32 [{size + 1}] and int32 rows, got {ptr.dtype} {ptr.shape}")
    bounds = [int(bound) for bound in ptr.tolist()]
    if bounds != sorted(bounds) or bounds[0] != 0 or bounds[-1] != rows.size or rows.min(initial=0) < least:
        raise ProgramError(f"{where}_ptr: expected bounds from 0 to {rows.size} and rows >= {least}")
    return tuple(rows[a:b].astype(np.int32) for a, b in pairwise(bounds))
