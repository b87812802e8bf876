"""How a command line or a caller wants a model divided: its arguments as the compiler's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from client.errors import UsageError
from partition import Options
from partition.grid import workers_of


@dataclass(frozen=True)
class Division:
    """A strategy, its workers, and what to hold it to.

    workers:      None = what the grid says, or 1.
    memory_mb:    MiB of weights on a worker at most; None = no limit.
    weight_share: the same in even shares of the weights.
    sizes:        to expect of dimensions that requests choose, by symbol.
    precision:    in what floats travel between ranks.
    merge_rows:   whether equal neurons of sparse layers are computed once.
    """

    strategy: str = "auto"
    workers: int | None = None
    memory_mb: float | None = None
    weight_share: float | None = None
    sizes: Mapping[str, str] = field(default_factory=dict)
    precision: str = "exact"
    merge_rows: bool = False

    @property
    def ranks(self) -> int:
        """The number of workers.

        Raises:
            StrategyError: if the grid cannot be read.
        """
        return workers_of(self.strategy, self.workers)

    def options(self) -> Options:
        """The compiler's options.

        Raises:
            UsageError: a size that is none, or a limit below 0.
        """
        sizes = {name: _size(name, size) for name, size in self.sizes.items()}
        for name, limit in (("--memory-mb", self.memory_mb), ("--weight-share", self.weight_share)):
            if limit is not None and not (isfinite(limit) and limit >= 0):
                raise UsageError(f"{name}: expected a number >= 0, got {limit}")
        memory_bytes = None if self.memory_mb is None else int(self.memory_mb * 2**20)
        return Options(
            memory_bytes=memory_bytes,
            weight_share=self.weight_share,
            sizes=sizes,
            precision=self.precision,
            merge_rows=self.merge_rows,
        )


def _size(name: str, size: str) -> int:
    if not (size.isascii() and size.isdigit()):
        raise UsageError(f"--set {name}: expected a size >= 0, got {size!r}")
    return int(size)
