"""The instructions of a chain of sparse layers: the same list on every rank, with gaps where a rank has nothing to do.

row:    a rank computes the output neurons that it owns; before each layer it gets the rows it reads. Where every rank
        reads what it owns there is no exchange.
column: a rank multiplies by the input neurons that it owns; the partial rows go to their owners, are summed there, and
        get bias and bounds once.
batch:  a rank computes all layers on its samples.
single: rank 0 computes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.program import Exchange, Instruction, Run
from partition.placement import ROOT, Placement, Shard
from partition.schedule import local_name
from partition.sparse.assignment import Owned
from partition.sparse.layers import LocalWeight, SparseLayer, part_of
from partition.sparse.maps import RowMaps, row_maps
from partition.sparse.plan import ChainPlan
from partition.sparse.relays import NOBODY, Relay
from partition.sparse.weights import Rows
from partition.weights import Stored

Step = tuple[Instruction | None, dict[str, Stored]]


@dataclass(frozen=True)
class ChainPart:
    """What a chain is on one rank.

    instructions: as long on every rank; None = not for this one. Steps are numbered by whoever puts them in a program.
    stored:       per instruction, the tensors of the shard that it reads.
    """

    instructions: tuple[Instruction | None, ...]
    stored: tuple[Mapping[str, Stored], ...]


def chain_part(plan: ChainPlan, rank: int) -> ChainPart:
    """The chain on one rank."""
    steps = list(_MODES[plan.choice.mode](_Rank(plan, rank)))
    return ChainPart(tuple(step[0] for step in steps), tuple(step[1] for step in steps))


class _Rank:
    """Builds the steps of one rank."""

    def __init__(self, plan: ChainPlan, rank: int) -> None:
        self.plan, self.rank = plan, rank
        self.group = tuple(range(plan.workers))
        self.at_root = rank == ROOT.rank
        self.everything = [np.arange(layer.weight.shape[0], dtype=np.int32) for layer in plan.layers]

    def live(self, name: str) -> str:
        return f"{self.plan.target}@{name}"

    def where(self, placement: Placement) -> bool:
        return self.at_root or placement != ROOT

    def enter(self, output: str) -> Step:
        """Dense to live, wherever the input is."""
        source = self.plan.choice.inputs[0]
        run = Run(0, "to_live", (local_name(self.plan.source, source),), (output,), layer=self.plan.source)
        return (run if self.where(source) else None), {}

    def leave(self, value: str) -> Step:
        """Live to dense, wherever the output is wanted."""
        target = self.plan.choice.outputs[0]
        stored: dict[str, Stored] = {}
        if self.plan.merged and self.plan.merged.expand is not None:
            stored[f"{value}.expand"] = Stored(_value(self.plan.merged.expand), is_weight=False)
        names = (value,), (local_name(self.plan.target, target),)
        run = Run(0, "to_dense", *names, weights=tuple(stored), layer=self.plan.target)
        return (run, stored) if self.where(target) else (None, {})

    def move(self, kind: str, source: str, target: str, axis: int = 0) -> Step:
        """An exchange with rank 0 as its root."""
        reads = self.at_root or kind == "gather"
        writes = self.at_root or kind != "gather"
        names = (source if reads else "", target if writes else "")
        return Exchange(0, kind, *names, group=self.group, axis=axis, root=ROOT.rank, layer=self.plan.target), {}  # type: ignore[arg-type]

    def rows(
        self,
        source: str,
        target: str,
        held: Owned,
        wanted: Owned,
        layer: str,
        reduce: str = "",
        place: NDArray[np.int64] | None = None,
        reads: Owned | None = None,
        relay: Relay = NOBODY,
    ) -> Step:
        """An exchange of the rows that others want.

        place: of each row in a message; None = by number. reads: what ranks keep of what they get; None = all.
        relay: who hands on what the others send.
        """
        prefix = target
        maps = row_maps(held, wanted, self.rank, place, reads[self.rank] if reads else None)
        exchange = Exchange(
            0,
            "rows",
            source,
            target,
            self.group,
            axis=1,
            reduce=reduce,
            maps=prefix,
            rows=maps.rows,
            relay=relay.rank,
            relay_on=relay.on,
            senders=relay.senders if self.rank == relay.rank else (),
            layer=layer,
        )
        return exchange, _stored_maps(prefix, maps)

    def multiply(self, number: int, source: str, target: str, outputs: Rows, inputs: Rows, kernel: str) -> Step:
        """One layer on some output and input neurons."""
        layer, prefix = self.plan.layers[number], f"{target}.weight"
        weight = part_of(layer.weight, outputs, inputs)
        stored = _stored_weight(prefix, weight)
        attributes: dict[str, bool | float] = {}
        if kernel == "sparse_layer":
            attributes, more = _tail(layer, outputs, prefix)
            stored |= more
        if layer.copies is not None:
            attributes["merged"] = True
            stored[f"{prefix}.copies"] = Stored(_value(layer.copies[inputs]), is_weight=False)
        names = tuple(stored)
        return Run(0, kernel, (source,), (target,), weights=names, attributes=attributes, layer=layer.name), stored

    def tail(self, number: int, source: str, target: str) -> Step:
        """Bias and bounds on rows that are summed already."""
        layer = self.plan.layers[number]
        attributes, stored = _tail(layer, self.plan.owned[number + 1][self.rank], f"{target}.tail")
        run = Run(
            0, "sparse_tail", (source,), (target,), weights=tuple(stored), attributes=attributes, layer=layer.name
        )
        return run, stored


def _stored_maps(prefix: str, maps: RowMaps) -> dict[str, Stored]:
    names = ("send_ptr", "send_rows", "recv_ptr", "recv_rows")
    return {f"{prefix}.{name}": Stored(_value(getattr(maps, name)), is_weight=False) for name in names}


def _stored_weight(prefix: str, weight: LocalWeight) -> dict[str, Stored]:
    return {f"{prefix}.{name}": Stored(_value(getattr(weight, name))) for name in ("indptr", "indices", "values")}


def _tail(layer: SparseLayer, outputs: Rows, prefix: str) -> tuple[dict[str, bool | float], dict[str, Stored]]:
    """Bias and bounds; a bias that is the same everywhere is a number, not a tensor."""
    attributes: dict[str, bool | float] = {"zero_preserving": layer.zero_preserving}
    bounds = {"clip_min": layer.low, "clip_max": layer.high}
    attributes |= {name: bound for name, bound in bounds.items() if not math.isinf(bound)}
    if layer.bias is None:
        return attributes, {}
    if np.unique(layer.bias).size == 1:
        return {**attributes, "bias": float(layer.bias[0])}, {}
    return attributes, {f"{prefix}.bias": Stored(_value(layer.bias[outputs]))}


def _value(array: NDArray[np.generic]) -> Callable[[], NDArray[np.generic]]:
    return lambda: array


def _row(rank: _Rank) -> Iterator[Step]:
    plan = rank.plan
    yield from _row_entry(rank)
    for i, layer in enumerate(plan.layers):
        if i and plan.exchanges[i]:
            names = rank.live(f"own{i}"), rank.live(f"in{i}")
            held, wanted, relay = plan.owned[i], plan.wanted[i], plan.relays[i]
            yield rank.rows(*names, held, wanted, layer.name, place=plan.places[i], reads=plan.reads[i], relay=relay)
        source, inputs = _row_inputs(rank, i)
        outputs = plan.owned[i + 1][rank.rank]
        yield rank.multiply(i, source, rank.live(f"own{i + 1}"), outputs, inputs, "sparse_layer")
    yield from _row_exit(rank)


def _travels(traffic: NDArray[np.int64]) -> bool:
    """Whether any row goes from one rank to another; if not, there is no exchange."""
    return bool(traffic.sum() > traffic.trace())


def _row_entry(rank: _Rank) -> Iterator[Step]:
    """From rank 0 or each owner to who reads its rows; whole where somebody reads none, and so would get nothing."""
    plan, source = rank.plan, rank.plan.choice.inputs[0]
    if _entry_by_rows(plan):
        yield rank.enter(rank.live("own0"))
        held = rank.live("own0") if rank.where(source) else ""
        yield rank.rows(held, rank.live("in0"), plan.at_entry, plan.wanted[0], plan.source, reads=plan.reads[0])
        return
    yield rank.enter(rank.live("own0"))
    if source == ROOT:
        yield rank.move("broadcast", rank.live("own0"), rank.live("own0"))


def _entry_by_rows(plan: ChainPlan) -> bool:
    source = plan.choice.inputs[0]
    if source == ROOT:
        return plan.workers > 1 and all(rows.size for rows in plan.wanted[0])
    return source == Shard(1) and _travels(plan.entry_traffic)


def _row_inputs(rank: _Rank, number: int) -> tuple[str, Rows]:
    """What a rank computes a layer from: the rows it reads of those it got, or all it has."""
    plan = rank.plan
    if plan.exchanges[number] if number else _entry_by_rows(plan):
        return rank.live(f"in{number}"), plan.reads[number][rank.rank]
    whole = number == 0 and plan.choice.inputs[0] != Shard(1)
    return rank.live(f"own{number}"), rank.everything[0] if whole else plan.owned[number][rank.rank]


def _row_exit(rank: _Rank) -> Iterator[Step]:
    """Each owner's rows to their places on rank 0, while still live."""
    plan = rank.plan
    last = rank.live(f"own{len(plan.layers)}")
    if plan.choice.outputs[0] == ROOT:
        held, out = plan.owned[-1], rank.live("out")
        yield rank.rows(last, out, held, plan.all_at_root(len(plan.layers)), plan.target)
        yield rank.leave(out)
    else:
        yield rank.leave(last)


def _column(rank: _Rank) -> Iterator[Step]:
    plan = rank.plan
    if plan.choice.inputs[0] == ROOT:
        yield rank.enter(rank.live("all"))
        yield _column_entry(rank)
    else:
        yield rank.enter(rank.live("own0"))
    for i, layer in enumerate(plan.layers):
        mine, part, summed = (rank.live(f"{name}{i}") for name in ("own", "part", "sum"))
        outputs, inputs = plan.fed[i][rank.rank], plan.owned[i][rank.rank]
        yield rank.multiply(i, mine, part, outputs, inputs, "sparse_matmul")
        relay = plan.relays[i + 1]
        yield rank.rows(part, summed, plan.fed[i], plan.owned[i + 1], layer.name, reduce="sum", relay=relay)
        yield rank.tail(i, summed, rank.live(f"own{i + 1}"))
    yield from _column_exit(rank, rank.live(f"own{len(plan.layers)}"))


def _column_entry(rank: _Rank) -> Step:
    """From rank 0 to who owns them; contiguous pieces where some rank owns none, and so would get nothing."""
    owned, names = rank.plan.owned[0], (rank.live("all"), rank.live("own0"))
    if not all(rows.size for rows in owned):
        return rank.move("scatter", *names, axis=1)
    held = names[0] if rank.at_root else ""
    return rank.rows(held, names[1], rank.plan.all_at_root(0), owned, rank.plan.source)


def _column_exit(rank: _Rank, value: str) -> Iterator[Step]:
    """To rank 0 while still live: dead samples do not travel."""
    if rank.plan.choice.outputs[0] == ROOT:
        yield rank.move("gather", value, rank.live("out"), axis=1)
        yield rank.leave(rank.live("out"))
    else:
        yield rank.leave(value)


def _batch(rank: _Rank) -> Iterator[Step]:
    plan = rank.plan
    yield rank.enter(rank.live("all" if plan.choice.inputs[0] == ROOT else "own0"))
    if plan.choice.inputs[0] == ROOT:
        yield rank.move("scatter", rank.live("all"), rank.live("own0"))
    yield from _all_layers(rank)
    last = rank.live(f"own{len(plan.layers)}")
    if plan.choice.outputs[0] == ROOT:
        yield rank.move("gather", last, rank.live("out"))
        yield rank.leave(rank.live("out"))
    else:
        yield rank.leave(last)


def _single(rank: _Rank) -> Iterator[Step]:
    if rank.at_root:
        yield rank.enter(rank.live("own0"))
        yield from _all_layers(rank)
        yield rank.leave(rank.live(f"own{len(rank.plan.layers)}"))
    else:
        yield from [(None, {})] * (2 + len(rank.plan.layers))


def _all_layers(rank: _Rank) -> Iterator[Step]:
    for i, layer in enumerate(rank.plan.layers):
        outputs = np.arange(layer.weight.shape[1], dtype=np.int32)
        yield rank.multiply(
            i, rank.live(f"own{i}"), rank.live(f"own{i + 1}"), outputs, rank.everything[i], "sparse_layer"
        )


_MODES: Mapping[str, Callable[[_Rank], Iterator[Step]]] = {
    "batch": _batch,
    "column": _column,
    "row": _row,
    "single": _single,
}
