"""Write one rank's part of a bundle: its shard first, then sub-graphs that refer into it, then its program."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from bundle.manifest import Asset, AssetKind, TensorEntry
from bundle.shard import ShardIndex, ShardWriter
from engine.codec import program_to_json
from engine.program import Exchange, Free, Instruction, Program, Run
from partition.graph import Graph
from partition.moves import Move
from partition.placement import ROOT, Partial, Shard
from partition.schedule import Chain, Level, Transfer, local_name
from partition.sparse.parts import ChainPlan
from partition.subgraph import Piece, make_piece, pruned, write_piece
from partition.weights import Stored, store_weight


@dataclass(frozen=True)
class RankOutput:
    """What one rank needs.

    blobs:        program and sub-graphs by sha256.
    weight_bytes: bytes of model weights in the shard.
    """

    program: Asset
    graphs: tuple[Asset, ...]
    shard: ShardIndex
    blobs: Mapping[str, bytes]
    weight_bytes: int


@dataclass
class _Slot:
    """One instruction to be, with what it reads and writes; the same position on every rank is the same step."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    piece: Piece | None = None
    instruction: Instruction | None = None
    stored: Mapping[str, Stored] = field(default_factory=dict)


def emit_rank(
    graph: Graph, levels: tuple[Level, ...], chains: Mapping[Chain, ChainPlan], rank: int, workers: int, file: BinaryIO
) -> RankOutput:
    """Write the shard of `rank` to `file` and return everything else."""
    kept = frozenset(graph.outputs) if rank == ROOT.rank else frozenset()
    slots = _pruned([slot for level in levels for slot in _slots(graph, level, chains, rank, workers)], kept)
    index, weight_bytes = _write_shard(graph, slots, rank, workers, file)
    entries = {entry.name: entry for entry in index.entries}
    blobs = _Blobs()
    program = Program(rank, workers, tuple(_instructions(graph, slots, kept, entries, blobs)))
    asset = blobs.add(program_to_json(program), "program")
    return RankOutput(asset, tuple(blobs.graphs), index, blobs.data, weight_bytes)


def _slots(graph: Graph, level: Level, chains: Mapping[Chain, ChainPlan], rank: int, workers: int) -> Iterator[_Slot]:
    yield _Slot(piece=make_piece(graph, level, rank, workers))
    for item in level.after:
        if isinstance(item, Transfer):
            yield _instruction_slot(_exchange(item.value, item.move, rank, workers), {})
        else:
            part = chains[item].part(rank)
            for instruction, stored in zip(part.instructions, part.stored, strict=True):
                yield _instruction_slot(instruction, stored)


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
            slot.piece = pruned(slot.piece, needed)
            slot.reads, slot.writes = tuple(slot.piece.reads), slot.piece.outputs
        needed.update(slot.reads)
    return slots


def _exchange(value: str, move: Move, rank: int, workers: int) -> Exchange:
    source, target = local_name(value, move.source), local_name(value, move.target)
    at_root = rank == ROOT.rank
    axes = [p.axis for p in (move.target, move.source) if isinstance(p, Shard)]
    return Exchange(
        step=0,
        kind=move.kind,  # type: ignore[arg-type]
        input=source if at_root or move.source != ROOT else "",
        output=target if at_root or move.target != ROOT else "",
        group=tuple(range(workers)),
        axis=axes[0] if axes else 0,
        join_axis=axes[1] if len(axes) == 2 else 0,
        root=ROOT.rank,
        reduce=move.source.op if isinstance(move.source, Partial) else "",
        layer=value,
    )


def _write_shard(
    graph: Graph, slots: Iterable[_Slot], rank: int, workers: int, file: BinaryIO
) -> tuple[ShardIndex, int]:
    """Every piece of every weight once, in the order of first use; and how many of the bytes are weights."""
    writer, written, counted = ShardWriter(file), set[str](), 0
    for slot in slots:
        for local, (name, placement) in (slot.piece.weights if slot.piece else {}).items():
            if local not in written:
                written.add(local)
                counted += store_weight(writer, graph, local, name, placement, rank, workers).nbytes
        for local, stored in slot.stored.items():
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
    graph: Graph, slots: list[_Slot], kept: frozenset[str], entries: Mapping[str, TensorEntry], blobs: _Blobs
) -> Iterator[Instruction]:
    """Slot i becomes step 2 i; what nobody reads later is freed in step 2 i + 1."""
    last = {name: i for i, slot in enumerate(slots) for name in (*slot.reads, *slot.writes) if name not in kept}
    dead: dict[int, list[str]] = {}
    for name, i in last.items():
        dead.setdefault(i, []).append(name)
    for i, slot in enumerate(slots):
        if slot.piece and slot.piece.nodes:
            yield _run(graph, slot.piece, 2 * i, entries, blobs)
        elif slot.instruction:
            yield replace(slot.instruction, step=2 * i)
        if i in dead:
            yield Free(2 * i + 1, tuple(dead[i]))


def _run(graph: Graph, piece: Piece, step: int, entries: Mapping[str, TensorEntry], blobs: _Blobs) -> Run:
    asset = blobs.add(write_piece(graph, piece, entries), "graph")
    weights = tuple(piece.weights)
    return Run(
        step, "onnx", tuple(piece.reads), piece.outputs, graph=asset.sha256, weights=weights, layer=_layer(piece)
    )


def _layer(piece: Piece) -> str:
    """First and last op, for reports."""
    names = [node.name or next(filter(None, node.output), "") for node in piece.nodes]
    return names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"
