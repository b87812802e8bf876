"""Write one rank's part of a bundle: its shard first, then sub-graphs that refer into it, then its program."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from bundle.manifest import Asset, AssetKind, TensorEntry
from bundle.shard import ShardIndex, ShardWriter
from engine.codec import program_to_json
from engine.program import Exchange, Free, Instruction, Program, Run
from partition.graph import Graph
from partition.layout import Hop, Item, Layout, Section
from partition.least import Least, least_of
from partition.moves import Move
from partition.placement import ROOT, Partial, Shard
from partition.schedule import Level, Transfer, local_name
from partition.sparse.parts import chain_part
from partition.subgraph import Piece, make_cut, make_piece, pruned, write_piece
from partition.weights import Stored, store_weight


@dataclass(frozen=True)
class RankOutput:
    """What one rank needs.

    blobs:        program and sub-graphs by sha256.
    weight_bytes: bytes of model weights in the shard.
    least:        exchanges that every request needs.
    """

    program: Asset
    graphs: tuple[Asset, ...]
    shard: ShardIndex
    blobs: Mapping[str, bytes]
    weight_bytes: int
    least: Least


@dataclass(frozen=True)
class _Seat:
    """A rank's place in the group that computes a section, and what the program calls the values of its sub-graphs."""

    rank: int = 0
    workers: int = 1
    name: Callable[[str], str] = str


@dataclass
class _Slot:
    """One instruction to be, with what it reads and writes; the same position on every rank is the same step."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    piece: Piece | None = None
    instruction: Instruction | None = None
    stored: Mapping[str, Stored] = field(default_factory=dict)
    graph: Graph | None = None
    seat: _Seat = field(default_factory=_Seat)


def emit_rank(layout: Layout, rank: int, file: BinaryIO) -> RankOutput:
    """Write the shard of `rank` to `file` and return everything else."""
    kept = frozenset(layout.graph.outputs) if rank == ROOT.rank else frozenset()
    slots = _pruned([slot for item in layout.items for slot in _slots(layout.graph, item, rank)], kept)
    index, weight_bytes = _write_shard(slots, file)
    entries = {entry.name: entry for entry in index.entries}
    blobs = _Blobs()
    program = Program(rank, layout.workers, tuple(_instructions(slots, kept, entries, blobs)))
    asset = blobs.add(program_to_json(program), "program")
    return RankOutput(asset, tuple(blobs.graphs), index, blobs.data, weight_bytes, least_of(program))


def _slots(graph: Graph, item: Item, rank: int) -> Iterator[_Slot]:
    """The slots of an item, as many on every rank."""
    if isinstance(item, Section):
        if rank in item.ranks:
            yield from (slot for level in item.part.levels for slot in _section_slots(item, level, rank))
        else:
            yield from (_Slot() for _ in range(item.part.length))
    elif isinstance(item, Hop):
        yield _instruction_slot(_hop(item, rank) if rank in item.group else None, {})
    else:
        yield _Slot(piece=make_cut(graph, item), graph=graph) if rank == item.rank else _Slot()


def _section_slots(section: Section, level: Level, rank: int) -> Iterator[_Slot]:
    part = section.part
    seat = _Seat(section.ranks.index(rank), part.workers, section.name)
    yield _Slot(piece=make_piece(part.graph, level, seat.rank, part.workers), graph=part.graph, seat=seat)
    for item in level.after:
        if isinstance(item, Transfer):
            exchange = _exchange(item.value, item.move, seat.rank, part.workers)
            yield _instruction_slot(_placed(exchange, section), {})
        else:
            chain = chain_part(part.chains[item], seat.rank)
            for instruction, stored in zip(chain.instructions, chain.stored, strict=True):
                yield _instruction_slot(_placed(instruction, section), stored)


def _placed(instruction: Instruction | None, section: Section) -> Instruction | None:
    """A part's instruction, its ranks and values as the program has them."""
    if isinstance(instruction, Exchange):
        source, target = (section.name(name) if name else "" for name in (instruction.input, instruction.output))
        group, senders = (tuple(section.ranks[i] for i in ranks) for ranks in (instruction.group, instruction.senders))
        relay = section.ranks[instruction.relay] if instruction.relay >= 0 else -1
        moved = replace(instruction, group=group, root=section.ranks[instruction.root], relay=relay, senders=senders)
        return replace(moved, input=source, output=target)
    if isinstance(instruction, Run):
        reads, writes = (tuple(map(section.name, names)) for names in (instruction.inputs, instruction.outputs))
        return replace(instruction, inputs=reads, outputs=writes)
    return instruction


def _hop(hop: Hop, rank: int) -> Exchange:
    """A hop's exchange on a rank of its group."""
    if hop.kind == "send":
        ends = ("send", hop.source, "", hop.group[-1]) if rank == hop.root else ("recv", "", hop.target, hop.root)
        kind, source, target, other = ends
        return Exchange(0, kind, source, target, hop.group, root=other, layer=hop.value)  # type: ignore[arg-type]
    source = hop.source if rank == hop.root or hop.kind == "gather" else ""
    target = hop.target if rank == hop.root or hop.kind != "gather" else ""
    return Exchange(0, hop.kind, source, target, hop.group, axis=hop.axis, root=hop.root, layer=hop.value)


def _instruction_slot(instruction: Instruction | None, stored: Mapping[str, Stored]) -> _Slot:
    if isinstance(instruction, Exchange):
        reads, writes = _names(instruction.input), _names(instruction.output)
    elif isinstance(instruction, Run):
        reads, writes = instruction.inputs, instruction.outputs
    else:
        reads, writes = (), ()
    return _Slot(reads, writes, None, instruction, stored)


def _names(name: str) -> tuple[str, ...]:
    return (name,) if name else ()


def _pruned(slots: list[_Slot], kept: frozenset[str]) -> list[_Slot]:
    """From the end: sub-graphs reduced to what somebody reads later. Exchanges stay, as other ranks take part."""
    needed = set(kept)
    for slot in reversed(slots):
        if slot.piece is not None:
            name = slot.seat.name
            slot.piece = pruned(slot.piece, {local for local in slot.piece.produces if name(local) in needed})
            slot.reads, slot.writes = tuple(map(name, slot.piece.reads)), tuple(map(name, slot.piece.outputs))
        needed.update(slot.reads)
    return slots


def _exchange(value: str, move: Move, rank: int, workers: int) -> Exchange:
    source, target = local_name(value, move.source), local_name(value, move.target)
    at_root = rank == ROOT.rank
    divided, joined = [*(p for p in (move.target, move.source) if isinstance(p, Shard)), Shard(0), Shard(0)][:2]
    return Exchange(
        step=0,
        kind=move.kind,  # type: ignore[arg-type]
        input=source if at_root or move.source != ROOT else "",
        output=target if at_root or move.target != ROOT else "",
        group=tuple(range(workers)),
        axis=divided.axis,
        unit=divided.unit,
        blocks=divided.blocks,
        deal=divided.deal,
        join_axis=joined.axis,
        join_blocks=joined.blocks,
        root=ROOT.rank,
        reduce=move.source.op if isinstance(move.source, Partial) else "",
        layer=value,
    )


def _write_shard(slots: Iterable[_Slot], file: BinaryIO) -> tuple[ShardIndex, int]:
    """Every piece of every weight once, in the order of first use; and how many of the bytes are weights."""
    writer, written, counted = ShardWriter(file), set[str](), 0
    for slot in slots:
        for local, (name, placement) in (slot.piece.weights if slot.piece and slot.graph else {}).items():
            if local not in written and slot.graph:
                written.add(local)
                seat = slot.seat
                counted += store_weight(writer, slot.graph, local, name, placement, seat.rank, seat.workers).nbytes
        for local, stored in slot.stored.items():
            if local not in written:
                written.add(local)
                entry = writer.add(local, stored.make())
                counted += entry.nbytes if stored.is_weight else 0
    return writer.finish(), counted


class _Blobs:
    """Small assets by content."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.graphs: list[Asset] = []

    def add(self, data: bytes, kind: AssetKind) -> Asset:
        asset = Asset(hashlib.sha256(data).hexdigest(), len(data), kind)
        if kind == "graph" and asset.sha256 not in self.data:
            self.graphs.append(asset)
        self.data[asset.sha256] = data
        return asset


def _instructions(
    slots: list[_Slot], kept: frozenset[str], entries: Mapping[str, TensorEntry], blobs: _Blobs
) -> Iterator[Instruction]:
    """Slot i becomes step 2 i; what nobody reads later is freed in step 2 i + 1."""
    last = {name: i for i, slot in enumerate(slots) for name in (*slot.reads, *slot.writes) if name not in kept}
    dead: dict[int, list[str]] = {}
    for name, i in last.items():
        dead.setdefault(i, []).append(name)
    for i, slot in enumerate(slots):
        if slot.piece and slot.piece.nodes:
            yield _run(slot, slot.piece, 2 * i, entries, blobs)
        elif slot.instruction:
            yield replace(slot.instruction, step=2 * i)
        if i in dead:
            yield Free(2 * i + 1, tuple(dead[i]))


def _run(slot: _Slot, piece: Piece, step: int, entries: Mapping[str, TensorEntry], blobs: _Blobs) -> Run:
    assert slot.graph is not None, "a piece is one of a graph"
    asset = blobs.add(write_piece(slot.graph, piece, entries), "graph")
    weights = tuple(piece.weights)
    return Run(step, "onnx", slot.reads, slot.writes, graph=asset.sha256, weights=weights, layer=_layer(piece))


def _layer(piece: Piece) -> str:
    """First and last op, for reports."""
    names = [node.name or next(filter(None, node.output), "") for node in piece.nodes]
    return names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"
