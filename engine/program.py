"""The program of one rank: the instruction list that the compiler emits and the machine runs. Data only, no behaviour
beyond JSON; the machine, `fsd plan` and the tests are three readers of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ExchangeKind = Literal[
    "all_gather",
    "all_reduce",
    "all_to_all",
    "broadcast",
    "gather",
    "halo",
    "recv",
    "reduce",
    "reduce_scatter",
    "rows",
    "scatter",
    "send",
]
Attribute = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """Compute `outputs` from `inputs` on this rank, without communication.

    step:       position in the whole program, unique within a rank.
    kernel:     name in the kernel registry: "onnx" (an onnxruntime session), "sparse_layer", "to_live", "to_dense", ...
    graph:      asset id of the ONNX sub-graph for kernel "onnx"; empty for the others.
    weights:    names of the tensors in this rank's shard that the kernel reads.
    attributes: the kernel's own settings (clip_min, clip_max, ...).
    layer:      what to call it in reports; empty = unnamed.
    """

    step: int
    kernel: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    graph: str = ""
    weights: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    layer: str = ""


@dataclass(frozen=True)
class Exchange:
    """Move `input` between the ranks of `group` so that each of them holds `output`.

    step:   the same number on every rank of the group: it is the key that its frames are matched by.
    axis:   the axis that is split or joined; negative counts from the end.
    unit:   pieces of the axis are whole multiples of so many elements (a head, a group).
    blocks: the axis is that many equal blocks, and a piece is a piece of each, one after another.
    deal:   how many units each rank of the group gets of a block that is split; empty = as even as can be.
    join_axis, join_blocks: for kind "all_to_all", the axis that is joined, `axis` being the one that is split.
    group:  the ranks that take part, in reduction and concatenation order.
    root:   the rank that scatters, broadcasts, gathers or reduces; for send/recv the other end.
    reduce: "sum", "max", "min", ... for the reducing kinds; empty for the others. Added in group order.
    maps:   prefix of the index tensors in this rank's shard for kind "rows": `<maps>.send_ptr` [P+1],
            `<maps>.send_rows` (local row numbers, by destination), `<maps>.recv_ptr` [P+1], `<maps>.recv_rows`
            (row positions in the output, by source; the rank's own rows included; -1 = the row is not kept), all int32,
            P = len(group).
            A rank that holds no rows has no input, and must get some.
            Placed rows of a LiveTensor arrive as NaN in samples of which the source left out a row with NaN or Inf: the
            layer that reads them would have made them NaN (0 x NaN, 0 x Inf) were its weights dense.
    rows:   number of rows of the output for kind "rows"; 0 for the others.
    relay:  the rank of the group that hands on what the others send, on channels where many messages are dear: each
            reader gets all its rows in one piece; -1 = nobody, and for the other kinds.
    relay_on: the kinds of channel for which it is, of channels.base.RELAYING.
    senders: the ranks that send something to another one, where there is a relay; only the relay needs to know.
    """

    step: int
    kind: ExchangeKind
    input: str
    output: str
    group: tuple[int, ...]
    axis: int = 0
    unit: int = 1
    blocks: int = 1
    deal: tuple[int, ...] = ()
    join_axis: int = 0
    join_blocks: int = 1
    root: int = 0
    reduce: str = ""
    maps: str = ""
    rows: int = 0
    relay: int = -1
    relay_on: tuple[str, ...] = ()
    senders: tuple[int, ...] = ()
    layer: str = ""


@dataclass(frozen=True)
class Free:
    """Drop tensors that no later instruction reads."""

    step: int
    tensors: tuple[str, ...]


Instruction = Run | Exchange | Free


@dataclass(frozen=True)
class Program:
    """What one rank does, from the request's inputs to the graph's outputs.

    Rank 0 starts with every graph input in its environment; the other ranks start with an empty one. At the end rank 0
    holds every graph output.
    """

    rank: int
    world_size: int
    instructions: tuple[Instruction, ...]
