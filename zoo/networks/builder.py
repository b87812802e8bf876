"""Writes an ONNX graph node by node, as an exporter does: names by scope, weights as initializers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

IR_VERSION = 10  # of onnx 1.16 and onnxruntime 1.18, the oldest that read every opset used here
Dim = int | str


class Builder:
    """A graph that grows. Values are named; a method that adds a node returns the names of its outputs.

    Weights are drawn from one seeded stream, so the same calls give the same bytes.
    """

    def __init__(self, name: str, seed: int, opset: int = 18) -> None:
        self._name, self.opset = name, opset
        self._rng = np.random.default_rng(seed)
        self._scopes: list[str] = []
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names made inside begin with `name.`."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def input(self, name: str, shape: Sequence[Dim], dtype: type = np.float32) -> str:
        """An input of the graph; a size is a number, or a symbol that the request chooses."""
        self._inputs.append(_value_info(name, shape, dtype))
        return name

    def output(self, name: str, value: str, shape: Sequence[Dim], dtype: type = np.float32) -> str:
        """Make a node's output one of the graph; from now on it has the name that is returned."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if used == value else used for used in names]
        self._outputs.append(_value_info(name, shape, dtype))
        return name

    def weight(self, name: str, shape: Sequence[int], deviation: float, mean: float = 0.0) -> str:
        """A float32 initializer, normally distributed."""
        drawn = self._rng.standard_normal(tuple(shape), np.float32)
        return self._initializer(self._path(name), drawn * np.float32(deviation) + np.float32(mean))

    def ints(self, *numbers: int) -> str:
        """A constant 1-D int64 tensor; equal ones are one initializer."""
        return self._initializer(f"ints.{'_'.join(map(str, numbers))}", np.array(numbers, np.int64))

    def int_scalar(self, number: int) -> str:
        """A constant int64 scalar."""
        return self._initializer(f"int.{number}", np.array(number, np.int64))

    def scalar(self, number: float) -> str:
        """A constant float32 scalar."""
        return self._initializer(f"float.{number:.9g}", np.array(number, np.float32))

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """A constant that was computed rather than learnt."""
        return self._initializer(self._path(name), array)

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output. An input that is left out is ""."""
        return self.ops(1, op_type, *inputs, domain=domain, **attributes)[0]

    def ops(self, count: int, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> tuple[str, ...]:
        """A node with `count` outputs."""
        name = f"{self._path(op_type)}_{len(self._nodes)}"
        outputs = tuple(f"{name}.out{i}" for i in range(count))
        self._nodes.append(helper.make_node(op_type, inputs, outputs, name, domain=domain, **attributes))
        return outputs

    def model(self) -> onnx.ModelProto:
        """The graph so far."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=list(self._weights.values())
        )
        domains = {node.domain: 1 for node in self._nodes} | {"": self.opset}
        imports = [helper.make_opsetid(domain, version) for domain, version in sorted(domains.items())]
        return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=imports, producer_name="fsd-zoo")

    def _path(self, name: str) -> str:
        return ".".join((*self._scopes, name))

    def _initializer(self, name: str, array: NDArray[Any]) -> str:
        self._weights.setdefault(name, numpy_helper.from_array(array, name))
        return name


def _value_info(name: str, shape: Sequence[Dim], dtype: type) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))
