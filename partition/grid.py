"""The strategy of a request: one word for all workers, or a grid such as `batch=2,row=4`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from partition.errors import StrategyError

LEAVES = ("auto", "batch", "column", "pipeline", "row", "serial", "tensor")
STRATEGIES = LEAVES
_AXES = ("batch", "stage", "row", "column", "tensor")  # outermost first, whatever the order they are written in
_WITHIN = ("row", "column", "tensor")


@dataclass(frozen=True)
class Grid:
    """Workers arranged along axes.

    batch:  groups that share the samples.
    stages: groups in each of those that share the layers.
    within: how the ranks of a group share what is left, and `ranks`, how many they are.
    """

    batch: int = 1
    stages: int = 1
    within: str = "serial"
    ranks: int = 1

    @property
    def workers(self) -> int:
        """All of them."""
        return self.batch * self.stages * self.ranks

    def __str__(self) -> str:
        """As a request writes it; one axis alone is one of the words."""
        axes = [("batch", self.batch), ("stage", self.stages), (self.within, self.ranks)]
        long = [(name, size) for name, size in axes if size > 1]
        words = {"stage": "pipeline"}
        if len(long) <= 1:
            return words.get(long[0][0], long[0][0]) if long else "serial"
        return ",".join(f"{name}={size}" for name, size in long)


def parse_strategy(strategy: str, workers: int) -> str:
    """The strategy in its one way of writing, once both can be.

    Raises:
        StrategyError: if the strategy is unknown, or does not fit the number of workers.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        _check_known(strategy)
        raise StrategyError(f"workers: expected a number >= 1, got {workers!r}")
    grid = parse_grid(strategy)
    if grid is None:
        _check_known(strategy)
        if strategy == "serial" and workers != 1:
            raise StrategyError(f"strategy serial: expected 1 worker, got {workers}; use batch, row, column or auto")
        return strategy
    if grid.workers != workers:
        raise StrategyError(f"strategy {strategy}: expected {grid.workers} workers, got {workers}")
    return str(grid)


def workers_of(strategy: str, workers: int | None) -> int:
    """The number of workers; a grid says it where the request does not.

    Raises:
        StrategyError: if the grid cannot be read.
    """
    grid = parse_grid(strategy)
    return workers if workers is not None else grid.workers if grid else 1


def grid_of(strategy: str, workers: int) -> Grid:
    """The grid of a strategy that parse_strategy has let through, and that is not `auto` or a word for all workers."""
    if strategy == "pipeline":
        return Grid(stages=workers)
    found = parse_grid(strategy)
    return found if found is not None else Grid(within=strategy, ranks=workers)


def parse_grid(strategy: str) -> Grid | None:
    """The grid that a strategy spells out; None if it is a word.

    Raises:
        StrategyError: if it has the form of a grid and is none.
    """
    if "=" not in strategy:
        return None
    sizes: dict[str, int] = {}
    for item in strategy.split(","):
        name, _, size = item.strip().partition("=")
        if name not in _AXES or name in sizes or not (size.isascii() and size.isdigit()) or not 1 <= int(size) <= 10**6:
            raise _no_grid(strategy)
        sizes[name] = int(size)
    within = [name for name in _WITHIN if name in sizes]
    if len(within) > 1 or math.prod(sizes.values()) > 10**6:
        raise _no_grid(strategy)
    inner = within[0] if within and sizes[within[0]] > 1 else "serial"
    return Grid(sizes.get("batch", 1), sizes.get("stage", 1), inner, sizes.get(inner, 1))


def _no_grid(strategy: str) -> StrategyError:
    return StrategyError(
        f"strategy: expected a grid such as batch=2,row=4 of batch=N, stage=N and one of {', '.join(_WITHIN)}, "
        f"each once and N >= 1, got {strategy!r}"
    )


def _check_known(strategy: str) -> None:
    if strategy not in STRATEGIES and "=" not in strategy:
        raise StrategyError(
            f"strategy: expected one of {', '.join(STRATEGIES)}, or a grid such as batch=2,row=4, got {strategy!r}"
        )
