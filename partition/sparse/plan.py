"""A chain of sparse layers, how it is computed, and who has and reads which neurons of which layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from partition.choices import Choice
from partition.placement import ROOT, Shard
from partition.schedule import Chain
from partition.sparse.assignment import Assign, Fixed, Owned, contiguous_layers
from partition.sparse.estimate import Assumed
from partition.sparse.layers import SparseLayer, inputs_read, outputs_fed
from partition.sparse.maps import rows_between
from partition.sparse.merge import Merged, merge_rows
from partition.sparse.messages import Boundary, in_order, widened
from partition.sparse.ownership import kinds_of, partitioned_columns, partitioned_layers
from partition.sparse.relays import Relay, relay_of
from partition.sparse.runs import Tolerated
from partition.sparse.weights import Rows

Layers = tuple[SparseLayer, ...]


@dataclass(frozen=True, eq=False)
class ChainPlan:
    """A chain, how it is computed, and who owns which neurons of which layer.

    merged: what became of equal rows, `layers` being those that are left; None = they were not looked for.
    """

    layers: Layers
    choice: Choice
    source: str
    target: str
    workers: int
    assign: Assign = field(default=contiguous_layers)
    assumed: Assumed = field(default_factory=Assumed)
    merged: Merged | None = None

    @cached_property
    def owned(self) -> tuple[Owned, ...]:
        """What each rank has before layer i; the last entry is what it has behind the last layer.

        At an end that other ops share with the chain every axis is divided contiguously.
        """
        fixed = Fixed(self.choice.inputs[0] != ROOT, self.choice.outputs[0] != ROOT)
        return self.assign([layer.weight for layer in self.layers], self.workers, fixed)

    @cached_property
    def kinds(self) -> list[Rows]:
        """As kinds_of; neurons of one kind mostly have the same value."""
        return kinds_of([layer.weight for layer in self.layers])

    @cached_property
    def places(self) -> list[NDArray[np.int64]]:
        """row: before each layer, the place of each row in a message: those of one kind side by side."""
        return [in_order(kinds) for kinds in self.kinds]

    @cached_property
    def reads(self) -> tuple[Owned, ...]:
        """row: the neurons that each rank reads in layer i."""
        pairs = zip(self.layers, self.owned[1:], strict=True)
        return tuple(tuple(inputs_read(layer.weight, rows) for rows in owned) for layer, owned in pairs)

    @cached_property
    def wanted(self) -> tuple[Owned, ...]:
        """row: the neurons that each rank has or gets before layer i: those that it reads, and what comes with them."""
        return tuple(self._got(number) for number in range(len(self.layers)))

    def _got(self, number: int) -> Owned:
        held = self.owned[number] if number else self.at_entry
        reads = self.reads[number]
        if number and _at_home(held, reads):
            return reads
        return widened(Boundary(number, held, reads, self.kinds[number]), self.assumed)

    @cached_property
    def exchanges(self) -> tuple[bool, ...]:
        """row: by layer, whether ranks exchange before it; before the first one it is for `_entry_by_rows` to say."""
        return tuple(not _at_home(*pair) for pair in zip(self.owned[:-1], self.wanted, strict=True))

    @cached_property
    def fed(self) -> tuple[Owned, ...]:
        """column: the output neurons of layer i that each rank has a part of."""
        pairs = zip(self.layers, self.owned, strict=False)
        return tuple(tuple(outputs_fed(layer.weight, rows) for rows in owned) for layer, owned in pairs)

    @property
    def boundaries(self) -> Iterator[Boundary]:
        """What travels between layers; where ranks do not exchange, nobody wants anything."""
        if self.choice.mode == "row":
            nothing = tuple(np.zeros(0, np.int32) for _ in range(self.workers))
            for i in range(1, len(self.layers)):
                wanted = self.wanted[i] if self.exchanges[i] else nothing
                yield Boundary(i, self.owned[i], wanted, self.kinds[i])
        elif self.choice.mode == "column":
            for i, fed in enumerate(self.fed, 1):
                yield Boundary(i, fed, self.owned[i], self.kinds[i])

    @cached_property
    def between(self) -> Mapping[int, NDArray[np.int64]]:
        """[P, P] rows from rank to rank, by number of the boundary."""
        return {boundary.number: rows_between(boundary.held, boundary.wanted) for boundary in self.boundaries}

    @cached_property
    def relays(self) -> Mapping[int, Relay]:
        """Who hands on what the others send, by number of the boundary."""
        return {number: relay_of(rows) for number, rows in self.between.items()}

    @cached_property
    def entry_traffic(self) -> NDArray[np.int64]:
        """row: [P, P] rows from rank to rank before the first layer."""
        return rows_between(self.at_entry, self.wanted[0])

    @cached_property
    def at_entry(self) -> Owned:
        """row: what each rank has of the chain's input."""
        return self.owned[0] if self.choice.inputs[0] == Shard(1) else self.all_at_root(0)

    def all_at_root(self, number: int) -> Owned:
        """Rank 0 has all neurons before layer `number`, the others none."""
        size = sum(rows.size for rows in self.owned[number])
        none = np.zeros(0, np.int32)
        return (np.arange(size, dtype=np.int32), *(none for _ in range(1, self.workers)))


def plan_chain(chain: Chain, layers: Layers, workers: int) -> ChainPlan:
    """The plan of a scheduled chain."""
    assign = _ASSIGN.get(chain.choice.mode, contiguous_layers)
    merged = merge_rows(layers, last=_is_whole(chain.choice)) if all(layer.merge for layer in layers) else None
    if merged and chain.choice.mode == "row":
        assign = partial(partitioned_layers, tolerated=Tolerated(merged=merged.work))
    kept = merged.layers if merged else layers
    ends = chain.op.inputs[0], chain.op.outputs[0]
    return ChainPlan(kept, chain.choice, *ends, workers, assign, merged=merged)


def _is_whole(choice: Choice) -> bool:
    """Whether who has any of the output has all of its neurons."""
    return choice.outputs[0] != Shard(1)


_ASSIGN: Mapping[str, Assign] = {"column": partitioned_columns, "row": partitioned_layers}


def _at_home(held: Owned, wanted: Owned) -> bool:
    """Whether every rank has what it wants."""
    return all(np.isin(rows, mine, assume_unique=True).all() for mine, rows in zip(held, wanted, strict=True))
