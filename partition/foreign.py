"""Shapes of ops that onnx does not know, such as onnxruntime's fused attention: onnxruntime itself infers them."""

from __future__ import annotations

import logging
from functools import cache

import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

_log = logging.getLogger(__name__)
_STAYS_BYTES = 1024  # smaller initializers may say shapes; of larger ones only type and shape matter


@cache
def foreign_ops() -> frozenset[tuple[str, str]]:
    """(domain, op type) of all ops that this onnxruntime has, some of which onnx never had or has no longer."""
    return frozenset((schema.domain, schema.name) for schema in get_all_operator_schema())


class InferForeignPass(ir.passes.InPlacePass):
    """Give types and shapes to what ops of other domains make, where nothing is known of it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Ask once for the whole graph; a graph that onnxruntime does not take stays as it is."""
        nodes = [node for node in model.graph if node.domain not in ("", "ai.onnx")]
        open_values = [v for node in nodes for v in node.outputs if v.name and (v.shape is None or v.type is None)]
        if not open_values:
            return ir.passes.PassResult(model, modified=False)
        known = _inferred(_without_weights(model, [value.name or "" for value in open_values]))
        for value in open_values:
            if value.name in known:
                _tell(value, known[value.name])
        return ir.passes.PassResult(model, modified=bool(known))


def _tell(value: ir.Value, info: onnx.ValueInfoProto) -> None:
    """What onnxruntime says; of later outputs only numbers, as it names the size of a grown cache as before."""
    found = ir.serde.deserialize_value_info_proto(info, None)
    first = value.index() == 0
    value.type = found.type
    if found.shape is not None:
        value.shape = ir.Shape([dim if first or isinstance(dim, int) else None for dim in found.shape])


def _without_weights(model: ir.Model, wanted: list[str]) -> onnx.ModelProto:
    """The model with larger initializers as inputs, and the wanted values as its outputs."""
    graph = model.graph
    weights = [v for v in graph.initializers.values() if v.const_value is not None]
    given = {value.name for value in graph.inputs}
    small = [v for v in weights if v.const_value is not None and v.const_value.nbytes <= _STAYS_BYTES]
    stays = {v.name for v in small}
    large = [v for v in weights if v.name not in stays and v.name not in given]
    proto = onnx.helper.make_graph(
        [ir.serde.serialize_node(node) for node in graph],
        "shapes",
        [ir.serde.serialize_value(value) for value in (*graph.inputs, *large)],
        [onnx.ValueInfoProto(name=name) for name in wanted],
        [ir.serde.serialize_tensor(v.const_value) for v in small if v.const_value is not None],
    )
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    return onnx.helper.make_model(proto, opset_imports=opsets, ir_version=min(max(model.ir_version, 4), 10))


def refusal(model: ir.Model) -> str:
    """Why onnxruntime does not load a model, its larger weights aside; empty if it does."""
    wanted = [value.name for value in model.graph.outputs if value.name]
    try:
        _session(_without_weights(model, wanted))
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common root
        return " ".join(str(error).split())
    return ""


def _session(proto: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _inferred(proto: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    try:
        session = _session(proto)
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common root; the shapes stay unknown
        _log.info("shapes of foreign ops stay unknown: %s", str(error).splitlines()[0])
        return {}
    infos = ((out.name, out.type, out.shape) for out in session.get_outputs())
    return {name: _info(name, kind, shape) for name, kind, shape in infos if kind in _TYPES}


def _info(name: str, kind: str, shape: list[int | str | None]) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, _TYPES[kind], shape)


_TYPES = {
    "tensor(bool)": onnx.TensorProto.BOOL,
    "tensor(double)": onnx.TensorProto.DOUBLE,
    "tensor(float)": onnx.TensorProto.FLOAT,
    "tensor(float16)": onnx.TensorProto.FLOAT16,
    "tensor(int32)": onnx.TensorProto.INT32,
    "tensor(int64)": onnx.TensorProto.INT64,
    "tensor(int8)": onnx.TensorProto.INT8,
    "tensor(uint8)": onnx.TensorProto.UINT8,
}
