"""How an axis is divided over the ranks, and a reduction into rounds: used by the compiler and the machine alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

# Up to here one round of whole tensors beats two rounds of parts: one wait less, and the bytes fit one message.
DIRECT_REDUCE_BYTES = 64 << 10


def is_direct_reduce(nbytes: int, parts: int) -> bool:
    """Whether an all-reduce of a tensor of `nbytes` is one round, in which everybody sends it whole to everybody."""
    return parts <= 2 or nbytes <= DIRECT_REDUCE_BYTES


def split_bounds(size: int, parts: int, unit: int = 1, deal: Sequence[int] = ()) -> tuple[tuple[int, int], ...]:
    """Half-open bounds of `parts` contiguous pieces of an axis of length `size`, each a whole number of units.

    deal: how many units each piece has. Empty = as even as can be: the first `size / unit % parts` pieces are one unit
          longer (numpy.array_split's rule); a piece may be empty.

    Raises:
        ValueError: if size < 0, parts < 1, unit does not divide the size, or the deal is of another size.
    """
    if size < 0 or parts < 1 or unit < 1 or size % unit:
        raise ValueError(
            f"cannot split an axis: expected size >= 0, parts >= 1 and whole units, got {size=} {parts=} {unit=}"
        )
    if deal:
        return _dealt_bounds(size, parts, unit, deal)
    base, extra = divmod(size // unit, parts)
    starts = [(i * base + min(i, extra)) * unit for i in range(parts + 1)]
    return tuple(pairwise(starts))


def _dealt_bounds(size: int, parts: int, unit: int, deal: Sequence[int]) -> tuple[tuple[int, int], ...]:
    if len(deal) != parts or min(deal) < 0 or sum(deal) * unit != size:
        raise ValueError(f"cannot split an axis: expected {parts} pieces of {size} elements, got {unit} x {list(deal)}")
    return tuple(pairwise(unit * before for before in accumulate(deal, initial=0)))
