"""One rank's sub-graph of one level: an ONNX model whose weights are references into the rank's shard."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper, numpy_helper

from bundle.manifest import TensorEntry
from partition.cut import cut_nodes
from partition.directions import turn
from partition.graph import Graph, Op, make_op
from partition.guard import Divided, guarded
from partition.layout import Cut
from partition.lookup import lookup_nodes
from partition.placement import Placement, Replicate, Shard, Single
from partition.rules import RULES
from partition.samples import SOME_SAMPLES
from partition.schedule import Compute, Level, Slice, local_name

SHARD_LOCATION = "shard"
EMBEDDED_BYTES = 1024
_EMBEDDED_TYPES = frozenset({onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL})
_SIZED_BY_FLOATS = frozenset({"Range", "Resize", "Upsample"})
WeightKey = tuple[str, Placement]


@dataclass
class Piece:
    """What one rank computes in one level, before it is written as ONNX.

    reads:    values that come from outside, by local name: (value, placement).
    produces: values computed here, by local name.
    weights:  initializers, by local name.
    embedded: small constants that stay in the graph.
    outputs:  the produced values that somebody reads later; known once the piece is pruned.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    reads: dict[str, tuple[str, Placement]] = field(default_factory=dict)
    produces: dict[str, tuple[str, Placement]] = field(default_factory=dict)
    weights: dict[str, WeightKey] = field(default_factory=dict)
    embedded: dict[str, onnx.TensorProto] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


def make_piece(graph: Graph, level: Level, rank: int, workers: int) -> Piece:
    """The nodes of a level that this rank computes; without nodes there is nothing to run."""
    piece = Piece()
    made = {name for compute in level.computes for name in compute.op.outputs} if level.slices else set()
    for cut in _ordered_cuts(level):
        _add_cut(piece, graph, cut, rank, workers)
        if cut.value not in made:
            piece.reads[cut.value] = (cut.value, Replicate())
    for compute in level.computes:
        if compute.runs_on(rank):
            _add_op(piece, graph, compute, rank, workers)
    return piece


def make_cut(graph: Graph, cut: Cut) -> Piece:
    """A value cut into pieces, or joined from them."""
    piece, whole = Piece(), {cut.whole: (cut.value, Shard(cut.axis))}  # of a part of the samples, perhaps
    parts = {name: (cut.value, Shard(cut.axis)) for name in cut.pieces}
    if cut.joins:
        piece.nodes = [helper.make_node("Concat", list(cut.pieces), [cut.whole], axis=cut.axis)]
        piece.reads, piece.produces = {**parts}, {**whole}
        return piece
    for number, name in enumerate(cut.pieces):
        opset = graph.opsets.get("", 1)
        nodes, constants = cut_nodes(cut.whole, name, Shard(cut.axis), None, number, len(cut.pieces), opset)
        piece.nodes += nodes
        piece.embedded.update({constant.name: constant for constant in constants})
    piece.reads, piece.produces = {**whole}, {**parts}
    return piece


def _ordered_cuts(level: Level) -> list[Slice]:
    return sorted(level.slices, key=lambda cut: (cut.value, cut.placement))


def _add_cut(piece: Piece, graph: Graph, cut: Slice, rank: int, workers: int) -> None:
    """A cut of a value that this level computes must come behind it; the nodes are sorted when the piece is pruned."""
    shape = graph.values[cut.value].shape or ()
    target = local_name(cut.value, cut.placement)
    opset = graph.opsets.get("", 1)
    nodes, constants = cut_nodes(cut.value, target, cut.placement, shape[cut.placement.axis], rank, workers, opset)
    piece.nodes += nodes
    piece.embedded.update({constant.name: constant for constant in constants})
    piece.produces[target] = (cut.value, cut.placement)


def _add_op(piece: Piece, graph: Graph, compute: Compute, rank: int, workers: int) -> None:
    op, choice = compute.op, compute.choice
    for name, placement in choice.needs(op):
        _add_input(piece, graph, op.proto.op_type, name, placement)
    if choice.looks_up:
        _add_lookup(piece, graph, compute, rank, workers)
        return
    node = onnx.NodeProto()
    node.CopyFrom(op.proto)
    node.ClearField("doc_string")
    node.ClearField("metadata_props")
    node.ClearField("device_configurations")
    node.input[:] = [local_name(n, p) if n else "" for n, p in zip(op.inputs, choice.inputs, strict=True)]
    node.output[:] = [local_name(n, p) if n else "" for n, p in zip(op.outputs, choice.outputs, strict=True)]
    units = dict(choice.units)
    for attribute in (a for a in node.attribute if a.name in units):
        attribute.i = units[attribute.name].length(attribute.i, workers, rank)
    if choice.sizes is not None:
        sizes = _local_sizes(graph, compute, choice.sizes, rank, workers)
        node.input[choice.sizes] = sizes.name
        piece.embedded[sizes.name] = sizes
    if choice.directed:
        turn(node, rank, workers)
    given, made = _pieces_of_choice(graph, compute) if choice.guarded else _part_of_samples(graph, op)
    piece.nodes += guarded(node, given, made) if given else [node]
    piece.produces.update({local_name(n, p): (n, p) for n, p in zip(op.outputs, choice.outputs, strict=True) if n})


def _pieces_of_choice(graph: Graph, compute: Compute) -> tuple[list[Divided], list[Divided]]:
    """Inputs and outputs of which the rank's piece may be empty, though the op refuses that."""
    op, choice = compute.op, compute.choice
    given = [
        Divided(i, placement.axis, len(graph.values[name].shape or ()), _element_type(graph, name))
        for i, (name, placement) in enumerate(zip(op.inputs, choice.inputs, strict=True))
        if name and isinstance(placement, Shard)
    ]
    made = [Divided(i, placement.axis) for i, placement in enumerate(choice.outputs) if isinstance(placement, Shard)]
    return given, made


def _part_of_samples(graph: Graph, op: Op) -> tuple[list[Divided], list[Divided]]:
    """Inputs and outputs that may have no samples, where ranks or turns have a part of them and the op refuses none."""
    places = [(i, (graph.values[name].shape or ())) for i, name in enumerate(op.inputs) if name in graph.values]
    open_axes = [(i, shape.index(SOME_SAMPLES)) for i, shape in places if SOME_SAMPLES in shape]
    rule = RULES.find(graph.facts(op)) if open_axes else None
    if rule is None or not rule.guard:
        return [], []
    letter = rule.inputs[open_axes[0][0]][open_axes[0][1]]
    if letter not in rule.guard:
        return [], []
    given = [
        Divided(i, rule.inputs[i].index(letter), len(shape), _element_type(graph, op.inputs[i]))
        for i, shape in places
        if letter in rule.inputs[i]
    ]
    made = [Divided(i, axes.index(letter)) for i, axes in enumerate(rule.outputs) if letter in axes]
    return given, made


def _element_type(graph: Graph, name: str) -> int:
    kind = graph.values[name].type
    return int(kind.tensor_type.elem_type) if kind else 0


def _add_lookup(piece: Piece, graph: Graph, compute: Compute, rank: int, workers: int) -> None:
    op, choice = compute.op, compute.choice
    places = [*choice.inputs, *choice.outputs]
    table, where, target = (local_name(n, p) for n, p in zip((*op.inputs, *op.outputs), places, strict=True))
    assert isinstance(choice.inputs[0], Shard)
    nodes, constants = lookup_nodes(graph, op, (table, where, target), choice.inputs[0], rank, workers)
    piece.nodes += nodes
    piece.embedded.update({constant.name: constant for constant in constants})
    piece.produces[target] = (op.outputs[0], choice.outputs[0])


def _local_sizes(graph: Graph, compute: Compute, position: int, rank: int, workers: int) -> onnx.TensorProto:
    """The sizes of the op's first output as this rank makes it; what is copied (0) or inferred (-1) stays so."""
    op, placement = compute.op, compute.choice.outputs[0]
    sizes = graph.weights[op.inputs[position]].numpy().copy()
    if isinstance(placement, Shard) and sizes[placement.axis] > 0:
        sizes[placement.axis] = placement.length(int(sizes[placement.axis]), workers, rank)
    return numpy_helper.from_array(sizes, f"{local_name(op.outputs[0], placement)}.sizes")


def _add_input(piece: Piece, graph: Graph, op_type: str, name: str, placement: Placement) -> None:
    local = local_name(name, placement)
    if graph.is_weight(name):
        if embedded := _embedded(graph, op_type, name, placement):
            piece.embedded[local] = embedded
            piece.weights.pop(local, None)
        elif local not in piece.embedded:
            piece.weights[local] = (name, Replicate() if isinstance(placement, Single) else placement)
    elif local not in piece.produces:
        piece.reads[local] = (name, placement)


def _embedded(graph: Graph, op_type: str, name: str, placement: Placement) -> onnx.TensorProto | None:
    """Small whole constants of sizes (shapes, axes, scales), and strings: onnxruntime must see them in the graph."""
    tensor = graph.weights[name]
    strings = int(tensor.dtype) == onnx.TensorProto.STRING
    sizing = int(tensor.dtype) in _EMBEDDED_TYPES or op_type in _SIZED_BY_FLOATS
    small = sizing and tensor.nbytes <= EMBEDDED_BYTES
    if isinstance(placement, Shard) or not (strings or small):
        return None
    if strings:
        return helper.make_tensor(name, onnx.TensorProto.STRING, tuple(tensor.shape.numpy()), tensor.numpy().ravel())
    dims = tuple(int(dim) for dim in tensor.shape.numpy())
    return onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=dims, raw_data=tensor.tobytes())


def pruned(piece: Piece, wanted: Container[str]) -> Piece:
    """The piece without what leads to none of the wanted values; `outputs` are those that it makes."""
    outputs = tuple(name for name in piece.produces if name in wanted)
    needed, nodes = set(outputs), []
    for op in reversed(_sorted(piece.nodes)):
        if not needed.isdisjoint(op.outputs):
            needed.update(op.reads)
            nodes.append(op.proto)
    return Piece(
        nodes[::-1],
        {name: key for name, key in piece.reads.items() if name in needed},
        {name: key for name, key in piece.produces.items() if name in needed},
        {name: key for name, key in piece.weights.items() if name in needed},
        {name: proto for name, proto in piece.embedded.items() if name in needed},
        outputs,
    )


def write_piece(graph: Graph, piece: Piece, entries: Mapping[str, TensorEntry]) -> bytes:
    """The piece as a serialized ONNX model; `entries` says where in the shard each weight lies."""
    inputs = [_value_info(graph, local, *key) for local, key in piece.reads.items()]
    results = [_value_info(graph, local, *piece.produces[local]) for local in piece.outputs]
    references = (_reference(graph, local, key[0], entries[local]) for local, key in piece.weights.items())
    proto = helper.make_graph(piece.nodes, "part", inputs, results, [*piece.embedded.values(), *references])
    used = {"" if node.domain == "ai.onnx" else node.domain for node in piece.nodes} | {""}
    nested = _nested(piece.nodes)
    opsets = [helper.make_opsetid(d, v) for d, v in sorted(graph.opsets.items()) if d in used or nested]
    model = helper.make_model(proto, opset_imports=opsets, ir_version=max(graph.ir_version, 4), producer_name="fsd")
    return bytes(model.SerializeToString(deterministic=True))


def _nested(nodes: list[onnx.NodeProto]) -> bool:
    return any(a.HasField("g") or a.graphs for node in nodes for a in node.attribute)


def _sorted(source: list[onnx.NodeProto]) -> list[Op]:
    """The nodes so that each comes behind what it reads."""
    ops = [make_op(node) for node in source]
    makers = {name: i for i, op in enumerate(ops) for name in op.outputs if name}
    done: set[int] = set()
    ordered: list[Op] = []
    stack = list(reversed(range(len(ops))))
    while stack:
        index = stack[-1]
        needed = [makers[n] for n in ops[index].reads if n in makers and makers[n] not in done]
        if index in done or not needed:
            stack.pop()
            if index not in done:
                done.add(index)
                ordered.append(ops[index])
        else:
            stack += needed
    return ordered


def _value_info(graph: Graph, local: str, name: str, placement: Placement) -> onnx.ValueInfoProto:
    """Name, type and the sizes that every rank sees alike; a divided axis is left open.

    Open sizes have names: without, onnxruntime 1.31 takes 4.4 s instead of 0.1 for a session of 2,000 nodes in a row.
    """
    known = graph.values.get(name)
    info = onnx.ValueInfoProto(name=local)
    if known is None or known.type is None:
        return info
    info.type.CopyFrom(known.type)
    if known.shape is not None and info.type.HasField("tensor_type"):
        info.type.tensor_type.shape.SetInParent()
        for axis, dim in enumerate(known.shape):
            entry = info.type.tensor_type.shape.dim.add()
            if isinstance(dim, int) and not (isinstance(placement, Shard) and placement.axis == axis):
                entry.dim_value = dim
            else:
                entry.dim_param = f"{local}.{axis}"
    return info


def _reference(graph: Graph, local: str, name: str, entry: TensorEntry) -> onnx.TensorProto:
    """An initializer without data: where it lies in the shard."""
    dtype = int(graph.weights[name].dtype)
    tensor = onnx.TensorProto(name=local, data_type=dtype, dims=entry.shape, data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", SHARD_LOCATION), ("offset", entry.offset), ("length", entry.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
