"""Where a tensor's data is. A value may have several placements at once, as exchanges add copies."""

from __future__ import annotations

from dataclasses import dataclass

from engine.split import split_bounds
from partition.rules.facts import Dim


@dataclass(frozen=True, order=True)
class Shard:
    """Rank i holds piece i of `axis`, divided by engine.split.split_bounds.

    axis:   >= 0.
    unit:   pieces are whole multiples of so many elements: a head of 64 features stays on one rank.
    blocks: the axis is that many equal blocks (query, key and value side by side, say), each of which is divided; a
            rank holds its piece of the first, then its piece of the second, and so on.
    deal:   how many units of a block each rank has; empty = as even as can be. Only where the size is known.
    """

    axis: int
    unit: int = 1
    blocks: int = 1
    deal: tuple[int, ...] = ()

    def __str__(self) -> str:
        unit = f"x{self.unit}" if self.unit > 1 else ""
        blocks = f"of{self.blocks}" if self.blocks > 1 else ""
        return f"shard{self.axis}{unit}{blocks}" + (f"by{'.'.join(map(str, self.deal))}" if self.deal else "")

    def bounds(self, size: int, workers: int) -> tuple[tuple[int, int], ...]:
        """Half-open bounds of every rank's piece, within each block of an axis of this size."""
        return split_bounds(size // self.blocks, workers, self.unit, self.deal)

    def length(self, size: int, workers: int, rank: int) -> int:
        """Elements of an axis of this size that a rank holds; one of estimated size need not be whole units."""
        units, rest = divmod(size, self.unit * self.blocks)
        whole = not rest and units == (sum(self.deal) or units)
        low, high = (self if whole else Shard(self.axis)).bounds(size, workers)[rank]
        return (high - low) * (self.blocks if whole else 1)

    def canonical(self, size: Dim, workers: int) -> Shard:
        """The same division by the smallest name: unit 1 where the bounds are the same, so that placements meet."""
        if not isinstance(size, int) or self.unit == 1 or self.deal:
            return self
        plain = Shard(self.axis, 1, self.blocks)
        return plain if plain.bounds(size, workers) == self.bounds(size, workers) else self


@dataclass(frozen=True, order=True)
class Replicate:
    """Every rank holds the whole tensor."""

    def __str__(self) -> str:
        return "replicate"


@dataclass(frozen=True, order=True)
class Partial:
    """Every rank holds a tensor of the whole shape; the value is their reduction by `op`."""

    op: str = "sum"

    def __str__(self) -> str:
        return f"partial_{self.op}"


@dataclass(frozen=True, order=True)
class Single:
    """Only `rank` holds the tensor, whole: how a request's inputs arrive and its outputs leave."""

    rank: int = 0

    def __str__(self) -> str:
        return f"single{self.rank}"


Placement = Shard | Replicate | Partial | Single
REPLICATE = Replicate()
ROOT = Single(0)
