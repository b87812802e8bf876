"""Where a tensor's data is. A value may have several placements at once, as exchanges add copies."""

from __future__ import annotations

from dataclasses import dataclass

from engine.split import split_bounds


@dataclass(frozen=True, order=True)
class Shard:
    """Rank i holds piece i of `axis`, divided by engine.split.split_bounds. `axis` >= 0."""

    axis: int

    def __str__(self) -> str:
        return f"shard{self.axis}"

    def length(self, size: int, workers: int, rank: int) -> int:
        """Elements of an axis of this size that a rank holds."""
        low, high = split_bounds(size, workers)[rank]
        return high - low


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
