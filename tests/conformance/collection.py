"""Collects the tests of onnx.backend.test: one model each, with inputs, expected outputs and tolerances."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

DataSet = tuple[list[Any], list[Any]]
STORED_KINDS = ("simple", "pytorch-converted", "pytorch-operator")
_LIGHT = "onnx/backend/test/data/light/"


@dataclass(frozen=True)
class BackendTest:
    """One test.

    kind: node, simple, light, ...
    op:   the op on trial; for kinds other than node, the kind in angle brackets.
    load: the model and its data sets, (inputs, expected outputs) in the order of the graph's.
    """

    name: str
    kind: str
    op: str
    rtol: float
    atol: float
    load: Callable[[], tuple[onnx.ModelProto, list[DataSet]]]


def collect() -> list[BackendTest]:
    """All tests, by kind and name. The cases are computed by ONNX when they are collected, which takes some seconds."""
    return [*_node_tests(), *_stored_tests(), *_light_tests()]


def _load_kind(kind: str) -> list[Any]:
    with warnings.catch_warnings():
        # Cases of overflow, division by zero and Log(0) compute what they expect with numpy.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"onnx\.")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"onnx\.")
        from onnx.backend.test.loader import load_model_tests

        return sorted(load_model_tests(kind=kind), key=lambda case: str(case.name))


def _node_tests() -> list[BackendTest]:
    return [BackendTest(c.name, "node", _op_of(c), c.rtol, c.atol, partial(_in_memory, c)) for c in _load_kind("node")]


def _op_of(case: Any) -> str:
    """The op that a node test is about; a model of several nodes is the body of an op that is a function."""
    nodes = case.model.graph.node
    if len(nodes) == 1:
        return f"{nodes[0].domain}::{nodes[0].op_type}" if nodes[0].domain else str(nodes[0].op_type)
    return "<expanded>"


def _in_memory(case: Any) -> tuple[onnx.ModelProto, list[DataSet]]:
    sets = [([_value(x) for x in inputs], [_value(y) for y in outputs]) for inputs, outputs in case.data_sets]
    return case.model, sets


def _value(item: Any) -> Any:
    if isinstance(item, onnx.TensorProto):
        return numpy_helper.to_array(item)
    return [_value(x) for x in item] if isinstance(item, list) else item


def _stored_tests() -> list[BackendTest]:
    cases = ((kind, case) for kind in STORED_KINDS for case in _load_kind(kind))
    return [BackendTest(c.name, kind, f"<{kind}>", c.rtol, c.atol, partial(_stored, c)) for kind, c in cases]


def _stored(case: Any) -> tuple[onnx.ModelProto, list[DataSet]]:
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    sets = [
        (_files(model.graph.input, data, "input"), _files(model.graph.output, data, "output"))
        for data in sorted(folder.glob("test_data_set_*"))
    ]
    return model, sets


def _files(infos: Any, folder: Path, word: str) -> list[Any]:
    count = len(list(folder.glob(f"{word}_*.pb")))
    return [_read(infos[i], (folder / f"{word}_{i}.pb").read_bytes()) for i in range(count)]


def _read(info: onnx.ValueInfoProto, data: bytes) -> Any:
    if info.type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if info.type.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def _light_tests() -> list[BackendTest]:
    """Well-known networks whose large weights are computed in the graph; they come with onnx, without a download."""
    cases = [case for case in _load_kind("real") if (case.url or "").startswith(_LIGHT)]
    return [BackendTest(c.name, "light", "<light>", c.rtol, c.atol, partial(_light, c)) for c in cases]


def _light(case: Any) -> tuple[onnx.ModelProto, list[DataSet]]:
    path = Path(os.path.dirname(onnx.__file__)).parent / case.url
    model = onnx.load(path)
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [_ramp(info) for info in model.graph.input if info.name not in known]
    outputs = sorted(path.parent.glob(f"{path.stem}_output_*.pb"))
    return model, [(inputs, [numpy_helper.to_array(onnx.TensorProto.FromString(o.read_bytes())) for o in outputs])]


def _ramp(info: onnx.ValueInfoProto) -> Any:
    """Numbers from 0 to 1, as onnx.backend.test.runner makes them for these models."""
    shape = [dim.dim_value or 1 for dim in info.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)
