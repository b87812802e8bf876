"""Shape inference that never makes a legal graph fail: what cannot be inferred stays unknown and is replicated.

By ONNX's own inference, on the graph without its large weights. onnx-ir's pass over it calls a sequence that it finds a
tensor, fails on maps, and takes a time that grows with the square of the number of weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError
from onnx.shape_inference import InferenceError, infer_shapes

from partition.errors import InvalidModelError
from partition.foreign import refusal

_FAILURES = (InferenceError, ir.serde.SerdeError, EncodeError, MemoryError, RuntimeError, TypeError, ValueError)
_KEPT_BYTES = 1024  # of an initializer, which may be a shape or axes
_PROPAGATED = 1 << 12  # elements
_HIDDEN = "fsd.hidden"
_SIZED_AS_INPUT = frozenset({"GroupNormalization", "MeanVarianceNormalization"})  # onnx 1.23 infers nothing for these
_TOLD = 300  # characters of an error that are shown

_MADE_UP = "unk__"  # what onnx calls a size that it cannot tell


class InferShapesPass(ir.passes.InPlacePass):
    """Types and shapes of the main graph's values; an op of a foreign domain is skipped."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Add types and shapes."""
        try:
            inferred = _inferred(_without_weights(model))
        except _FAILURES:
            return ir.passes.PassResult(model, modified=False)
        found = _types(inferred.graph)
        for value in (output for node in model.graph for output in node.outputs):
            if value.name in found:
                _note(value, found[value.name])
        return ir.passes.PassResult(model, modified=bool(found))


def _without_weights(model: ir.Model) -> onnx.ModelProto:
    """The model as a proto in which every initializer is an input, and small ones have their values."""
    weights = model.graph.initializers
    large = [value for value in weights.values() if value.const_value and value.const_value.nbytes > _KEPT_BYTES]
    given = {value.name for value in model.graph.inputs}
    infos = [_info(value) for value in weights.values() if value.name not in given]
    for value in large:
        weights.pop(value.name or "")
    try:
        proto = ir.serde.serialize_model(model)
    finally:
        for value in large:
            model.graph.register_initializer(value)
    proto.graph.input.extend(infos)
    return proto


def _info(value: ir.Value) -> onnx.ValueInfoProto:
    tensor, name = value.const_value, value.name or ""
    assert tensor is not None, name
    return onnx.helper.make_tensor_value_info(name, int(tensor.dtype), tuple(tensor.shape.numpy()))


def _inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Once without propagation of values, then with it, which tells the sizes that a graph computes.

    Propagation writes out every list that an op reads or makes, be it of 10^12 numbers: what does that is hidden, and
    keeps what was inferred first. All else is inferred anew: a size for which a name was made up would keep that name.
    """
    for node in proto.graph.node:
        _simplify(node)
    types = {info.name: info.type for info in proto.graph.input} | _types(infer_shapes(proto).graph)
    hidden = [node for node in proto.graph.node if _is_long(node, types)]
    for node in hidden:
        node.domain = _HIDDEN
    given = {info.name for info in proto.graph.output}
    kept = {name for node in hidden for name in node.output if name in types} - given
    others = [info for info in proto.graph.value_info if info.name not in kept]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(others)
    proto.graph.value_info.extend(onnx.ValueInfoProto(name=name, type=types[name]) for name in sorted(kept))
    proto.opset_import.add(domain=_HIDDEN, version=1)
    return infer_shapes(proto, data_prop=True)


def _simplify(node: onnx.NodeProto) -> None:
    """Let an op whose output is like its first input be one of which inference knows that."""
    if node.op_type in _SIZED_AS_INPUT and node.domain in ("", "ai.onnx"):
        node.op_type = "Identity"
        del node.input[1:]
        node.ClearField("attribute")


def _is_long(node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> bool:
    """Whether an op may read or make a long list. Inner graphs count as if, as they are not of interest."""
    lengths = [_length(types[name]) for name in (*node.input, *node.output) if name in types]
    if any(attribute.HasField("g") for attribute in node.attribute) or any(n > _PROPAGATED for n in lengths if n):
        return True
    grows = node.op_type == "Range" or (node.op_type == "Concat" and not any(a.i for a in node.attribute))
    return grows and _length(types.get(node.output[0], onnx.TypeProto())) is None


def _length(kind: onnx.TypeProto) -> int | None:
    """Elements of a list, None where unknown; 0 for what is surely none."""
    if not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    return 0 if len(dims) != 1 else dims[0].dim_value if dims[0].HasField("dim_value") else None


def _types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    return {info.name: info.type for info in (*graph.value_info, *graph.output)}


def _note(value: ir.Value, kind: onnx.TypeProto) -> None:
    try:
        found, shape = ir.serde.deserialize_type_proto_for_type(kind), ir.serde.deserialize_type_proto_for_shape(kind)
    except ir.serde.SerdeError:  # a map, which onnx-ir has no type for
        return
    value.type = found or value.type
    sound = shape is not None and not any(isinstance(dim, int) and dim < 0 for dim in shape)
    value.shape = shape if sound else value.shape


class CheckShapesPass(ir.passes.InPlacePass):
    """Refuse a graph in which an op cannot take the shapes that it gets, as onnxruntime does.

    ONNX's strict inference finds them all, and takes a few for wrong that are right: so onnxruntime has the last word.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Infer strictly; only what inference itself finds counts, not what the file claims of values.

        Raises:
            InvalidModelError: naming the op.
        """
        try:
            proto = _without_weights(model)
            del proto.graph.value_info[:]
            for info in proto.graph.output:
                info.ClearField("type")
            infer_shapes(proto, strict_mode=True)
        except InferenceError as error:
            if found := refusal(model):
                raise InvalidModelError(
                    f"model {model.graph.name!r}: expected shapes that fit, got: {found[-_TOLD:]}"
                ) from error
        except _FAILURES:
            pass
        return ir.passes.PassResult(model, modified=False)


class ForgetSizesPass(ir.passes.InPlacePass):
    """Forget shapes in which inference had to make up a size; now it may know better."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Clear them on values that nodes make; the graph's own outputs keep what the model says."""
        made = [value for node in model.graph for value in node.outputs if not value.is_graph_output()]
        vague = [value for value in made if value.shape is not None and any(map(_is_made_up, value.shape))]
        for value in vague:
            value.shape = None
        return ir.passes.PassResult(model, modified=bool(vague))


def _is_made_up(dim: int | ir.SymbolicDimProtocol) -> bool:
    return not isinstance(dim, int) and (dim.value is None or dim.value.startswith(_MADE_UP))
