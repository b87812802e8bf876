"""The hypergraph of a layer: a vertex per output neuron, a net per input neuron that joins those that read it.

A net that lies within one rank costs nothing; each further rank that it reaches is a row sent. Neurons that read the
same inputs are taken together up to a small size, and so are inputs with the same readers: the graph shrinks, and
layers of the same structure become equal, whatever the numbers of their inputs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partition.sparse.components import BALANCE
from partition.sparse.weights import Rows, SparseWeight

_SEED = 43


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """Units of output neurons, and nets of units.

    unit_of:  [n] the unit of each output neuron.
    work:     [units] multiplications.
    nets:     units of each net of at least two, ascending; in an order that depends on nothing but the structure.
    net_rows: [nets] input neurons that a net stands for.
    """

    unit_of: Rows
    work: NDArray[np.int64]
    nets: tuple[Rows, ...]
    net_rows: NDArray[np.int64]

    @property
    def units(self) -> int:
        """Number of vertices."""
        return int(self.work.size)

    @cached_property
    def members(self) -> Rows:
        """[pins] the units of all nets, one net after another."""
        return np.concatenate([np.empty(0, np.int32), *self.nets])

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """[nets + 1] net i is members[bounds[i] : bounds[i + 1]]."""
        return np.concatenate([[0], np.cumsum([net.size for net in self.nets], dtype=np.int64)])

    @property
    def pins(self) -> int:
        """Units of all nets, each counted with every net."""
        return int(self.members.size)

    @property
    def key(self) -> bytes:
        """Equal for layers of equal structure: a digest, for a chain may have many large ones."""
        parts: tuple[NDArray[Any], ...] = (self.unit_of, self.work, self.bounds, self.net_rows, self.members)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()


def layer_graph(weight: SparseWeight, parts: int) -> LayerGraph:
    """The hypergraph of a layer that is to be divided into `parts`."""
    work = np.maximum(1, np.diff(weight.indptr))
    unit_of = _units(weight, work, int(BALANCE * work.sum() / parts))
    nets = _nets(weight, unit_of)
    ordered = sorted(net for net in nets if len(net) > unit_of.itemsize)
    return LayerGraph(
        unit_of,
        np.bincount(unit_of, work).astype(np.int64),
        tuple(np.frombuffer(net, np.int32) for net in ordered),
        np.array([nets[net] for net in ordered], np.int64),
    )


def _units(weight: SparseWeight, work: NDArray[np.int64], limit: int) -> Rows:
    """Number neurons with equal inputs alike, up to `limit` multiplications; in the order of their first neurons."""
    kind = _alike(weight.indices, weight.indptr)
    order = np.argsort(kind, kind="stable")
    starts = np.flatnonzero(np.diff(kind[order], prepend=-1))
    place = np.arange(order.size) - np.repeat(starts, np.diff(np.append(starts, order.size)))
    each = np.maximum(1, limit // work[order])  # equal inputs are equally many
    first = order[np.arange(order.size) - place % each]
    unit_of = np.empty(order.size, np.int32)
    unit_of[order] = np.unique(first, return_inverse=True)[1]
    return unit_of


def _nets(weight: SparseWeight, unit_of: Rows) -> dict[bytes, int]:
    """The units (int32 as bytes) that read an input, and how many inputs are read by just those."""
    units = max(1, int(unit_of.max(initial=-1)) + 1)
    readers = np.repeat(unit_of.astype(np.int64), np.diff(weight.indptr))
    pins = np.sort(weight.indices * np.int64(units) + readers)
    pins = pins[np.diff(pins, prepend=-1) > 0]
    bounds = np.searchsorted(pins, np.arange(weight.shape[0] + 1, dtype=np.int64) * units)
    members = (pins % units).astype(np.int32)
    shown, counts = np.unique(_alike(members, bounds), return_index=True, return_counts=True)[1:]
    return {members[bounds[i] : bounds[i + 1]].tobytes(): int(n) for i, n in zip(shown, counts, strict=True)}


def _alike(values: Rows, bounds: NDArray[np.int64]) -> Rows:
    """A number for each slice of `values`, the same for equal ones. By random signatures: see layers.alike."""
    signs = np.random.default_rng(_SEED).integers(0, 1 << 62, int(values.max(initial=-1)) + 1, np.int64)
    totals = np.concatenate([[0], np.cumsum(signs[values])])
    return np.unique(totals[bounds[1:]] - totals[bounds[:-1]], return_inverse=True)[1].astype(np.int32)
