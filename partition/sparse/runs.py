"""Where to exchange: the layers of a chain in runs, with an exchange before each run and none inside.

Inside a run a rank computes what its next layer reads, some of it on several ranks. Chosen by dynamic programming over
all runs that are cheap enough: an exchange has its price, and so has what is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from partition.sparse.closure import Marks, marks, read_marks, work
from partition.sparse.components import joined, packed
from partition.sparse.estimate import Assumed, Sent
from partition.sparse.weights import Rows, SparseWeight

_BUDGET = 1000


@dataclass(frozen=True)
class Tolerated:
    """How far a run may go.

    recompute: multiplications of all ranks beyond those of the model, as a share of them, at most.
    merged:    how many times as many multiplications the model had before equal rows were merged: what they saved may
               be spent again. Ranks that had one of several equal rows each would else have to send it.
    layers:    of a run; longer ones that need no exchange follow each other without one anyway.
    """

    recompute: float = 0.25
    merged: float = 1.0
    layers: int = 8
    assumed: Assumed = field(default_factory=Assumed)


@dataclass(frozen=True, eq=False)
class Run:
    """Layers [start, stop) without an exchange between them.

    part_of: [n] the part of each output of the last one.
    extra:   multiplications beyond those of the layers themselves.
    usd:     estimated, of the exchange before it.
    """

    start: int
    stop: int
    part_of: Rows
    extra: int
    usd: float


@dataclass(frozen=True, eq=False)
class Problem:
    """A chain that is to be cut into runs.

    parts_of: by layer, the part of each output where the layer is a run's last one.
    kinds:    by boundary, neurons that are alike have one number.
    """

    weights: Sequence[SparseWeight]
    parts: int
    parts_of: Sequence[Rows]
    kinds: Sequence[Rows]
    tolerated: Tolerated = field(default_factory=Tolerated)


def choose_runs(problem: Problem) -> tuple[Run, ...]:
    """The runs of the whole chain, in order: the cheapest that recompute no more than is tolerated.

    By dynamic programming over layers and what is left of the tolerated work, in `_BUDGET` steps.
    """
    layers, tolerated = len(problem.weights), problem.tolerated
    most = tolerated.recompute * tolerated.merged * sum(weight.nnz for weight in problem.weights)
    usd = np.full((layers + 1, _BUDGET + 1), np.inf)  # of the first layers, by budget spent
    usd[0] = 0.0
    last: list[list[Run | None]] = [[None] * (_BUDGET + 1) for _ in range(layers + 1)]
    for run in (run for stop in range(1, layers + 1) for run in runs_ending(problem, stop)):
        steps = _steps(run, most)
        if steps > _BUDGET:
            continue
        total = usd[run.start, : _BUDGET + 1 - steps] + run.usd + run.extra * tolerated.assumed.multiply_usd
        for spent in np.flatnonzero(total < usd[run.stop, steps:]) + steps:
            usd[run.stop, spent], last[run.stop][spent] = total[spent - steps], run
    return tuple(_backtracked(last, most))[::-1]


def _steps(run: Run, most: float) -> int:
    """Steps of the budget that a run takes, rounded up."""
    return math.ceil(run.extra * _BUDGET / most) if most else 0 if run.extra == 0 else _BUDGET + 1


def _backtracked(last: Sequence[Sequence[Run | None]], most: float) -> Iterator[Run]:
    """The runs that were chosen, last one first."""
    stop, left = len(last) - 1, _BUDGET
    while (run := last[stop][left]) is not None:
        yield run
        stop, left = run.start, left - _steps(run, most)


def runs_ending(problem: Problem, stop: int) -> Iterator[Run]:
    """Runs whose last layer is `stop` - 1: that layer alone, and longer ones that add at most the model's work."""
    held = marks(problem.parts_of[stop - 1], problem.parts)
    extra = base = 0
    for start in range(stop - 1, max(0, stop - problem.tolerated.layers) - 1, -1):
        weight = problem.weights[start]
        base += weight.nnz
        extra += int(work(weight, held).sum()) - weight.nnz
        if extra > base * problem.tolerated.merged:
            return
        held = read_marks(weight, held)
        yield Run(start, stop, problem.parts_of[stop - 1], max(0, extra), _exchange_usd(problem, start, held))


def _exchange_usd(problem: Problem, boundary: int, read: Marks) -> float:
    """All ranks together, before layer `boundary`: each source sends all it has, or to each rank what it reads.

    Rows are taken to be spread evenly over the sources.
    """
    parts, rows = read.shape
    kinds, assumed = problem.kinds[boundary], problem.tolerated.assumed
    each = (int(kinds.max(initial=-1)) + 1) / parts
    reads = float(read.sum()) / parts
    sources: float = (parts - 1) * (1 - (1 - 1 / parts) ** reads)
    wanted = float(np.mean([np.count_nonzero(np.bincount(kinds[mask])) for mask in read]))
    part = Sent(sources, reads, wanted * (parts - 1) / parts)
    whole = Sent(sources, sources * rows / parts, sources * each)
    to_all = assumed.exchange_usd(boundary, Sent(1, rows / parts, each, parts - 1), whole)
    return float(parts * min(to_all, assumed.exchange_usd(boundary, part, part)))


def joint_parts(weights: Sequence[SparseWeight], parts: int) -> list[Rows | None]:
    """By layer, parts made of whole components of the longest run of layers up to it that allows that, beyond one."""
    found: list[Rows | None] = [None] * len(weights)
    for start in range(len(weights)):
        for stop, component in enumerate(joined(weights[start : start + Tolerated.layers]), start + 1):
            whole = packed(component, np.diff(weights[stop - 1].indptr), parts)
            if whole is None:
                break
            if stop > start + 1 and found[stop - 1] is None:
                found[stop - 1] = whole
    return found
