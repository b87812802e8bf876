"""Shape inference that never makes a legal graph fail: what cannot be inferred stays unknown and is replicated."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError

# The public pass of onnx-ir calls a sequence that it finds a tensor, and fails on maps; this takes the large weights
# out of the model for the call, as that pass does.
from onnx_ir.passes.common._c_api_utils import call_onnx_api

_FAILURES = (onnx.shape_inference.InferenceError, ir.serde.SerdeError, EncodeError, RuntimeError, TypeError, ValueError)


class InferShapesPass(ir.passes.InPlacePass):
    """Types and shapes of the main graph's values, by ONNX's own inference; an op of a foreign domain is skipped."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Add types and shapes."""
        try:
            inferred = call_onnx_api(_infer, model)
        except _FAILURES:
            return ir.passes.PassResult(model, modified=False)
        found = {info.name: info.type for info in (*inferred.graph.value_info, *inferred.graph.output)}
        for value in (output for node in model.graph for output in node.outputs):
            if value.name in found:
                _note(value, found[value.name])
        return ir.passes.PassResult(model, modified=bool(found))


def _infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(proto, check_type=False, strict_mode=False, data_prop=True)


def _note(value: ir.Value, kind: onnx.TypeProto) -> None:
    try:
        found, shape = ir.serde.deserialize_type_proto_for_type(kind), ir.serde.deserialize_type_proto_for_shape(kind)
    except ir.serde.SerdeError:  # a map, which onnx-ir has no type for
        return
    value.type = found or value.type
    value.shape = shape if shape is not None else value.shape
