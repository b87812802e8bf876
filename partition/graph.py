"""The graph as the rest of the compiler reads it: frozen data, made once from onnx-ir after normalising."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from bundle.dtypes import DTYPES, STRING, is_container, numpy_dtype
from partition.folding import RANDOM_OPS
from partition.rules import RULES, OpFacts, Rule
from partition.rules.facts import Shape
from partition.sparse.weights import SparseWeight

NOMINAL_SIZE = 64  # stands for a dimension that the request chooses, where bytes are estimated
_SMALL_CONSTANT = 1024  # elements
MEASURED_SLICES = 10  # the first opset whose Slice takes its bounds from other nodes


@dataclass(frozen=True)
class Cargo:
    """What moving a value depends on.

    dims:       sizes of its axes, NOMINAL_SIZE where they are not known.
    item_bytes: of one element.
    travels:    whether it can be sent; sliced: whether it can be cut in place.
    """

    dims: tuple[int, ...]
    item_bytes: int
    travels: bool
    sliced: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the whole value."""
        return math.prod(self.dims) * self.item_bytes


@dataclass(frozen=True)
class ValueInfo:
    """What is known of a value.

    dtype:  a name of bundle.dtypes, "string", of what is no tensor "seq(float32)" and the like, or "" when unknown.
    shape:  None = unknown rank.
    type:   the ONNX type without its shape; None = unknown.
    sliced: whether ONNX nodes of the model's opset can cut a piece out of it.
    expected: the sizes to estimate with, see partition.sizes; None = not known.
    """

    dtype: str
    shape: Shape | None
    type: onnx.TypeProto | None
    sliced: bool = True
    expected: tuple[int, ...] | None = None

    @property
    def travels(self) -> bool:
        """Whether an exchange can move it: numeric tensors of known type that numpy can view."""
        try:
            return bool(self.dtype) and numpy_dtype(self.dtype).itemsize > 0
        except ValueError:
            return False

    @property
    def elements(self) -> int:
        """Elements, estimated."""
        return math.prod(self.cargo.dims)

    @property
    def nbytes(self) -> int:
        """Bytes, estimated like `elements`."""
        return self.cargo.nbytes

    def expecting(self, sizes: tuple[int, ...] | None) -> ValueInfo:
        """The same with other sizes to expect; itself if they are no others."""
        if sizes == self.expected:
            return self
        return ValueInfo(self.dtype, self.shape, self.type, self.sliced, sizes)

    @cached_property
    def cargo(self) -> Cargo:
        """What moving it depends on."""
        nominal = tuple(dim if isinstance(dim, int) else NOMINAL_SIZE for dim in self.shape or ())
        dims = nominal if self.expected is None else self.expected
        item_bytes = numpy_dtype(self.dtype).itemsize if self.travels else 8
        return Cargo(dims, item_bytes, self.travels, self.sliced)


@dataclass(frozen=True, eq=False)
class Op:
    """One node.

    inputs:   names; "" = absent.
    outputs:  names; "" = not wanted.
    captured: outer values that graphs inside of it read.
    proto:    the node itself.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    captured: tuple[str, ...]
    proto: onnx.NodeProto

    @property
    def label(self) -> str:
        """What to call it in reports."""
        return f"{self.proto.op_type}({self.proto.name or next(filter(None, self.outputs), '')})"

    @property
    def random(self) -> bool:
        """Whether two ranks that compute it get different values."""
        trains = self.proto.op_type == "Dropout" and len(self.inputs) > 2 and bool(self.inputs[2])
        return self.proto.op_type in RANDOM_OPS or trains

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Every value it needs, each once."""
        return tuple(dict.fromkeys(name for name in (*self.inputs, *self.captured) if name))

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Attribute values by name."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in self.proto.attribute}


@dataclass(frozen=True, eq=False)
class Graph:
    """A normalised model.

    ops:     in topological order.
    weights: dense initializers by name, read when asked for.
    sparse:  sparse initializers by name.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[Op, ...]
    values: Mapping[str, ValueInfo]
    weights: Mapping[str, ir.TensorProtocol]
    sparse: Mapping[str, SparseWeight]
    opsets: Mapping[str, int]
    ir_version: int

    @cached_property
    def constant_names(self) -> frozenset[str]:
        """Initializers and what is computed from them alone."""
        known = {*self.weights, *self.sparse}
        for op in self.ops:
            if op.reads and not op.random and known.issuperset(op.reads):
                known.update(filter(None, op.outputs))
        return frozenset(known)

    @cached_property
    def last_use(self) -> dict[str, int]:
        """Index of the last op that reads a value; len(ops) for graph outputs."""
        uses = {name: i for i, op in enumerate(self.ops) for name in op.reads}
        return {**uses, **dict.fromkeys(self.outputs, len(self.ops))}

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, sparse ones as stored."""
        return sum(t.nbytes for t in self.weights.values()) + sum(s.nbytes for s in self.sparse.values())

    def is_weight(self, name: str) -> bool:
        """Whether the value is an initializer."""
        return name in self.weights or name in self.sparse

    @cached_property
    def kinds(self) -> Mapping[Op, int]:
        """Ops of one number are alike in all that rules, divisions and estimates look at: their names aside."""
        numbers: dict[Hashable, int] = {}
        marks = {"": 0, **{name: i + 1 for name, i in self._value_kinds().items()}}
        return {op: numbers.setdefault(_kind(op, marks), len(numbers)) for op in self.ops}

    def _value_kinds(self) -> dict[str, int]:
        numbers: dict[Hashable, int] = {}
        return {name: numbers.setdefault(self._value_kind(name), len(numbers)) for name in self.values}

    def _value_kind(self, name: str) -> Hashable:
        value, tensor = self.values[name], self.weights.get(name)
        stored = name in self.sparse if tensor is None else int(tensor.dtype)
        content = tensor.numpy().tobytes() if tensor is not None and _is_small(tensor) else None
        known = (name in self.constant_names, stored, content)
        return value.shape, value.expected, value.dtype, value.sliced, known

    @cached_property
    def rules(self) -> tuple[Rule | None, ...]:
        """Each op's rule, looked up once for all ops that are alike; None = kept whole."""
        found: dict[int, Rule | None] = {}
        for op, kind in self.kinds.items():
            if kind not in found:
                found[kind] = RULES.find(self.facts(op))
        return tuple(found[self.kinds[op]] for op in self.ops)

    def facts(self, op: Op) -> OpFacts:
        """What the rule of `op` may look at."""
        domain = op.proto.domain
        return OpFacts(
            domain=domain,
            op_type=op.proto.op_type,
            version=self.opsets.get("" if domain == "ai.onnx" else domain, 1),
            shapes=tuple(self.values[name].shape if name else None for name in op.inputs),
            outputs=tuple(self.values[name].shape if name in self.values else None for name in op.outputs),
            attributes=op.attributes,
            constants=dict(self._small_constants(op)),
            weights=tuple(name in self.constant_names for name in op.inputs),
        )

    def _small_constants(self, op: Op) -> Iterator[tuple[int, Any]]:
        for i, name in enumerate(op.inputs):
            tensor = self.weights.get(name)
            if tensor is not None and _is_small(tensor):
                yield i, tensor.numpy()


def _is_small(tensor: ir.TensorProtocol) -> bool:
    """Whether a rule may look at the values."""
    return tensor.size <= _SMALL_CONSTANT and tensor.dtype != ir.DataType.STRING


def _kind(op: Op, marks: Mapping[str, int]) -> Hashable:
    """What an op is, with its values told by their kinds; one with graphs inside is like no other."""
    if any(a.HasField("g") or a.graphs for a in op.proto.attribute):
        return op
    attributes = tuple(a.SerializeToString(deterministic=True) for a in op.proto.attribute)
    inputs, outputs = (tuple(marks.get(name, -1) for name in names) for names in (op.inputs, op.outputs))
    return op.proto.domain, op.proto.op_type, attributes, inputs, outputs


def from_ir(model: ir.Model, sparse: Mapping[str, SparseWeight], maps: Mapping[str, onnx.TypeProto]) -> Graph:
    """The graph of a normalised model and its sparse weights (whose placeholders are inputs of the model).

    maps: the types of values that are or hold maps, which onnx-ir does not know.
    """
    graph = model.graph
    measures = model.opset_imports.get("", 0) >= MEASURED_SLICES
    weights = {name: value.const_value for name, value in graph.initializers.items() if value.const_value is not None}
    return Graph(
        name=graph.name or "model",
        inputs=tuple(v.name for v in graph.inputs if v.name and v.name not in weights and v.name not in sparse),
        outputs=tuple(v.name for v in graph.outputs if v.name),
        ops=tuple(_op(node) for node in graph),
        values={v.name: _info(v, measures) for v in _values(graph) if v.name}
        | {name: ValueInfo(_dtype(kind), (), kind) for name, kind in maps.items()},
        weights=weights,
        sparse={name: weight for name, weight in sparse.items() if any(v.name == name for v in graph.inputs)},
        opsets=dict(model.opset_imports),
        ir_version=model.ir_version,
    )


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _info(value: ir.Value, measures: bool) -> ValueInfo:
    tensor = value.const_value if value.is_initializer() else None
    shape = tensor.shape if tensor is not None else value.shape
    dims = None if shape is None else tuple(_dim(dim) for dim in shape)
    if value.type is None and tensor is None:
        return ValueInfo("", dims, None)
    kind = ir.serde.serialize_type(value.type or ir.TensorType(tensor.dtype))  # type: ignore[union-attr]
    fixed = dims is not None and all(isinstance(dim, int) for dim in dims)
    return ValueInfo(_dtype(kind), dims, kind, sliced=measures or fixed)


def _dim(dim: int | ir.SymbolicDimProtocol) -> int | str | None:
    return dim if isinstance(dim, int) else dim.value


def _dtype(kind: onnx.TypeProto) -> str:
    match kind.WhichOneof("value"):
        case "tensor_type":
            return _element(kind.tensor_type.elem_type)
        case "sequence_type":
            name = f"seq({_dtype(kind.sequence_type.elem_type)})"
        case "optional_type":
            name = f"optional({_dtype(kind.optional_type.elem_type)})"
        case "map_type":
            name = f"map({_element(kind.map_type.key_type)},{_dtype(kind.map_type.value_type)})"
        case _:
            return ""
    return name if is_container(name) else ""


@cache
def _element(code: int) -> str:
    if code in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        return STRING if code else ""
    name = np.dtype(ir.DataType(code).numpy()).name
    return name if name in DTYPES else ""


def _op(node: ir.Node) -> Op:
    proto = ir.serde.serialize_node(node)
    return make_op(proto)


def make_op(proto: onnx.NodeProto) -> Op:
    """The Op of a node."""
    graphs = [g for a in proto.attribute for g in ([a.g] if a.HasField("g") else list(a.graphs))]
    captured = dict.fromkeys(name for graph in graphs for name in _free_names(graph))
    return Op(tuple(proto.input), tuple(proto.output), tuple(captured), proto)


def _free_names(graph: onnx.GraphProto) -> Iterable[str]:
    """Names that a graph reads and does not define."""
    ops = [make_op(node) for node in graph.node]
    defined = {value.name for value in (*graph.input, *graph.initializer)}
    defined.update(name for op in ops for name in op.outputs)
    used = dict.fromkeys(name for op in ops for name in op.reads)
    used.update(dict.fromkeys(value.name for value in graph.output))
    return [name for name in used if name not in defined]
