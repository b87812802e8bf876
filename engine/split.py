"""How an axis is divided over the ranks, and a reduction into rounds: used by the compiler and the machine alike."""

from __future__ import annotations

from itertools import pairwise

# Up to here one round of whole tensors beats two rounds of parts: one wait less, and the bytes fit one message.
DIRECT_REDUCE_BYTES = 64 << 10


def is_direct_reduce(nbytes: int, parts: int) -> bool:
    """Whether an all-reduce of a tensor of `nbytes` is one round, in which everybody sends it whole to everybody."""
    return parts <= 2 or nbytes <= DIRECT_REDUCE_BYTES


def split_bounds(size: int, parts: int, unit: int = 1) -> tuple[tuple[int, int], ...]:
    """Half-open bounds of `parts` contiguous pieces of an axis of length `size`, each a whole number of units.

    The first `size / unit % parts` pieces are one unit longer (numpy.array_split's rule); a piece may be empty.

    Raises:
        ValueError: if size < 0, parts < 1, or unit does not divide the size.
    """
    if size < 0 or parts < 1 or unit < 1 or size % unit:
        raise ValueError(
            f"cannot split an axis: expected size >= 0, parts >= 1 and whole units, got {size=} {parts=} {unit=}"
        )
    base, extra = divmod(size // unit, parts)
    starts = [(i * base + min(i, extra)) * unit for i in range(parts + 1)]
    return tuple(pairwise(starts))
