"""Which slot becomes which rank.

Lambda has no affinity, so ranks are bound late: a slot that still holds a rank's shard from an earlier run gets that
rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet


def bind_ranks(needed: Sequence[Mapping[str, int]], held: Sequence[AbstractSet[str]]) -> tuple[int, ...]:
    """Slot of each rank: rank 0 is slot 0; the others are paired greedily by the bytes that need no load.

    needed: by rank, {sha256 of an asset: its bytes}.
    held:   by slot, the assets in its memory.
    """
    ranks = len(needed)
    gains = sorted(
        ((_gain(needed[rank], held[slot]), rank, slot) for rank in range(1, ranks) for slot in range(1, ranks)),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    slots = {0: 0}
    taken = {0}
    for _, rank, slot in gains:
        if rank not in slots and slot not in taken:
            slots[rank] = slot
            taken.add(slot)
    return tuple(slots[rank] for rank in range(ranks))


def _gain(needed: Mapping[str, int], held: AbstractSet[str]) -> int:
    return sum(size for asset, size in needed.items() if asset in held)
