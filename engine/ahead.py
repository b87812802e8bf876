"""Rows of a sparse layer that are computed while the exchange before it still waits for parts of its input.

Each row is computed whole and once, when all that it reads is there, so the answer has the bits that it would have
without. A row that was computed before samples came that are live in other rows only has in them what the layer makes
of zeros. NaN and Inf of a part spread to rows that do not read them (0 x NaN): then all is computed at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from channels.tensors import LiveTensor
from engine.arriving import Array, Arriving, Part, move
from engine.kernels.registry import KernelCall
from engine.kernels.sparse_tools import is_zero_preserving, prepared_layer, tail_of
from engine.loaded import LoadedRank
from engine.program import Exchange, Run
from engine.readiness import Readiness, readiness
from engine.row_maps import RowMaps
from engine.sparse_layer import SparseLayer, Tail
from engine.tensor_ops import keep_samples

# Entries times samples that are worth a call of the kernel: 0.1 ms or more, of which the call takes a tenth.
WORTH_PRODUCTS = 1 << 18


class Ahead:
    """What is computed ahead for one run of a layer.

    run:     the instruction. seconds: spent computing. early: rows that were computed while parts were awaited.
    """

    def __init__(
        self,
        run: Run,
        exchange: Exchange,
        loaded: LoadedRank,
        maps: RowMaps,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.run = run
        self.seconds = 0.0
        self.early = 0
        self._exchange = exchange
        self._loaded = loaded
        self._maps = maps
        self._clock = clock
        self._own = exchange.group.index(loaded.program.rank)
        self._output: _Output | None = None

    @property
    def held(self) -> list[Array]:
        """The arrays that are kept for `finish`."""
        return [] if self._output is None else [self._output.values]

    def advance(self, arriving: Arriving) -> None:
        """Place what has come, and compute rows that are complete by it, as far as it is worth it."""
        placed = arriving.place()
        if not placed or self._readiness is None:
            return
        started, x = self._clock(), arriving.tensor
        if self._output is None:
            self._output = _Output(*self._layer(x), self._readiness, x.values.dtype)
        self._output.note(placed)
        if self._output.takes(x, is_zero_preserving(self.run)):
            self.early += self._output.compute(x, WORTH_PRODUCTS)
        self.seconds += self._clock() - started

    def end(self, arriving: Arriving) -> None:
        """Place the rest: all is there."""
        placed = arriving.finish()
        if self._output is not None:
            self._output.note(placed)
            if not self.early or not self._output.finite:
                self._output, self.early = None, 0

    def finish(self, x: LiveTensor) -> LiveTensor | None:
        """The layer's output for what the exchange made, the rest being computed now; None if nothing was ahead."""
        if self._output is None:
            return None
        self._output.compute(x)
        return keep_samples(LiveTensor(self._output.values, x.samples, x.total), self._output.alive)

    @cached_property
    def _readiness(self) -> Readiness | None:
        key = ("readiness", self._exchange.step, self.run.step)
        return self._loaded.prepared(key, self._find_readiness)

    def _find_readiness(self) -> Readiness | None:
        nothing = np.zeros((self._exchange.rows, 0), np.float32)
        layer, _ = self._layer(LiveTensor(nothing, np.zeros(0, np.int32), 0))
        layer.matrix.check_input(nothing)
        return readiness(layer.matrix, self._maps.recv, self._own)

    def _layer(self, x: LiveTensor) -> tuple[SparseLayer, Tail]:
        call = KernelCall(self.run, [x], self._loaded)
        layer = prepared_layer(call)
        return layer, tail_of(call, layer.rows, bias_weight=3)


class _Output:
    """Rows of y that are computed.

    finite: whether all that was placed is. values: [rows, live]. alive: [live] which samples are not zero in them.
    """

    def __init__(self, layer: SparseLayer, tail: Tail, ready: Readiness, dtype: np.dtype[np.generic]) -> None:
        self.finite = True
        self.values: Array = np.zeros((layer.rows, 0), dtype)
        self.alive = np.zeros(0, np.bool_)
        self._samples = np.zeros(0, np.int32)
        self._layer, self._tail, self._ready = layer, tail, ready
        self._missing = ready.parts.copy()
        self._done = np.zeros(layer.rows, np.bool_)

    def note(self, placed: Sequence[Part]) -> None:
        """Learn that parts are in x."""
        for part in placed:
            self._missing[self._ready.readers[part.source]] -= 1
            self.finite = self.finite and self._layer.is_finite(part.tensor.values)

    def takes(self, x: LiveTensor, zero_preserving: bool) -> bool:
        """Whether x has all columns that rows are to be computed for, but for those that are zero."""
        return self.finite and (zero_preserving or x.samples.size == x.total)

    def compute(self, x: LiveTensor, least: int = 0) -> int:
        """Compute rows that are complete and not computed yet, if it takes so many products; how many rows."""
        rows = (self._missing == 0) & ~self._done
        if int(self._ready.entries[rows].sum(dtype=np.int64)) * x.samples.size < least:
            return 0
        self._lay_out(x)
        self.alive |= self._layer.some(rows, x.values, self._tail, self.values)
        self._done |= rows
        return int(np.count_nonzero(rows))

    def _lay_out(self, x: LiveTensor) -> None:
        """Columns for the samples of x."""
        if self._samples.size == x.samples.size:
            return
        values, done = np.empty((self._layer.rows, x.samples.size), x.values.dtype), np.flatnonzero(self._done)
        alive = np.zeros(x.samples.size, np.bool_)
        if done.size:
            columns = np.searchsorted(x.samples, self._samples)
            zero = np.empty((self._layer.rows, 1), x.values.dtype)
            alive[:] = self._layer.some(self._done, np.zeros((x.values.shape[0], 1), x.values.dtype), self._tail, zero)
            alive[columns] = self.alive
            move(self.values, values, done, columns, zero)
        self.values, self.alive, self._samples = values, alive, x.samples
