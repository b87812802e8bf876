"""What is refused before any library works on it, and what looks odd and is legal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from client.verify import verify
from partition import InvalidModelError, Options, UnsupportedModelError
from partition.compile import prepare
from partition.errors import CompileError
from tests.partition import models

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]


def relu(source: str = "x", result: str = "y") -> onnx.ModelProto:
    return models.model([helper.make_node("Relu", [source], [result])], {"x": ["n", 4]}, [result])


def with_weight(weight: onnx.TensorProto) -> onnx.ModelProto:
    proto = models.model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]}, ["y"])
    proto.graph.initializer.append(weight)
    return proto


def with_functions(*bodies: list[str]) -> onnx.ModelProto:
    """Functions f0, f1, ...: each is a chain of calls."""
    proto = models.model([helper.make_node("f0", ["x"], ["y"], domain="own")], {"x": ["n", 4]}, ["y"])
    proto.opset_import.append(OPSETS[1])
    for i, calls in enumerate(bodies):
        names = ["a", *(f"m{j}" for j in range(1, len(calls))), "b"]
        nodes = [
            helper.make_node(call, [names[j]], [names[j + 1]], domain="own" if call.startswith("f") else "")
            for j, call in enumerate(calls)
        ]
        proto.functions.append(helper.make_function("own", f"f{i}", ["a"], ["b"], nodes, OPSETS))
    return proto


def other_bytes() -> onnx.ModelProto:
    data = relu("x", "name-of-y").SerializeToString()
    proto: onnx.ModelProto = onnx.ModelProto.FromString(data.replace(b"name-of-y", b"name-of-\xff"))
    return proto


def many_weights(count: int) -> onnx.ModelProto:
    proto = relu()
    proto.graph.initializer.extend(
        TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=[1], raw_data=bytes(4)) for i in range(count)
    )
    return proto


def claimed(kind: int, **data: Any) -> onnx.ModelProto:
    return with_weight(TensorProto(name="w", data_type=kind, dims=[10**6, 10**6], **data))


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], type[CompileError], str]] = {
    "unknown type": (lambda: with_weight(TensorProto(name="w", data_type=99)), InvalidModelError, "element type"),
    "no type": (lambda: with_weight(TensorProto(name="w", dims=[4])), InvalidModelError, "element type"),
    "packed": (lambda: claimed(TensorProto.INT4, raw_data=bytes(64)), InvalidModelError, "got 128"),
    "bools": (lambda: claimed(TensorProto.BOOL, raw_data=b"1"), InvalidModelError, "got 1"),
    "strings": (lambda: claimed(TensorProto.STRING, string_data=[b"a"]), InvalidModelError, "got 1"),
    "complex": (lambda: claimed(TensorProto.COMPLEX64, float_data=[1.0, 1.0]), InvalidModelError, "got 1"),
    "float8": (lambda: claimed(TensorProto.FLOAT8E4M3FN, raw_data=b"1"), InvalidModelError, "got 1"),
    "axes": (
        lambda: with_weight(TensorProto(name="w", data_type=1, dims=[1] * 99, raw_data=bytes(4))),
        UnsupportedModelError,
        "at most 64 axes",
    ),
    "ghost": (lambda: relu("ghost"), InvalidModelError, "'ghost': expected an input"),
    "other bytes": (other_bytes, InvalidModelError, "UTF-8"),
    "calls itself": (lambda: with_functions(["f0"]), InvalidModelError, "calls itself"),
    "call each other": (lambda: with_functions(["f1"], ["f0"]), InvalidModelError, "calls itself"),
    "exponential": (
        lambda: with_functions(*([f"f{i + 1}", f"f{i + 1}"] for i in range(30)), ["Relu"]),
        UnsupportedModelError,
        f"got {2**30}",
    ),
    "deep calls": (
        lambda: with_functions(*([f"f{i + 1}"] for i in range(200)), ["Relu"]),
        UnsupportedModelError,
        "inside of each other",
    ),
    "many weights": (lambda: many_weights(20_001), UnsupportedModelError, "20000 initializers"),
    "many inputs": (
        lambda: models.model([helper.make_node("Relu", ["i0"], ["y"])], {f"i{i}": [1] for i in range(5000)}, ["y"]),
        UnsupportedModelError,
        "at most 4096",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_file_is_refused_in_one_line(name: str) -> None:
    make, error, pattern = REFUSED[name]
    with pytest.raises(error, match=pattern) as caught:
        prepare(make(), Options())
    assert "\n" not in str(caught.value)


def test_calls_of_calls_are_counted_and_inlined() -> None:
    assert len(prepare(with_functions(["f1", "f1"], ["f2", "f2", "f2"], ["Relu"]), Options()).graph.ops) == 6


def test_negative_sizes_are_unknown_ones_as_for_onnxruntime() -> None:
    proto = models.model([helper.make_node("Relu", ["x"], ["y"])], {"x": [-1, 4]}, ["y"])
    proto.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [-7, 4]))
    report = verify(proto, {"x": models.floats(5, 4)}, 2, "batch")
    assert (report.ok, report.split_ops) == (True, 1)


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.BOOL])
def test_values_that_are_all_there_are_taken_in_any_field(kind: int) -> None:
    raw = helper.make_tensor("w", kind, [3], [1, 0, 1])
    fields = onnx.TensorProto.FromString(raw.SerializeToString())
    if fields.HasField("raw_data"):
        fields = numpy_helper.from_array(numpy_helper.to_array(fields), "w")
    nodes = [helper.make_node("Cast", ["w"], ["c"], to=TensorProto.FLOAT), helper.make_node("Add", ["x", "c"], ["y"])]
    for weight in (raw, fields):
        proto = models.model(nodes, {"x": ["n", 3]}, ["y"], opset=21)
        proto.graph.initializer.append(weight)
        assert verify(proto, {"x": models.floats(2, 3)}, 2, "row").ok


def test_constant_strings_stand_beside_split_numbers() -> None:
    nodes = [helper.make_node("Equal", ["s", "w"], ["e"]), helper.make_node("MatMul", ["x", "m"], ["y"])]
    proto = models.model(nodes, {"s": ["n", 2], "x": ["n", 6]}, ["e", "y"], {"m": models.floats(6, 4)}, opset=19)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    proto.graph.initializer.append(
        TensorProto(name="w", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"])
    )
    feeds = {"s": np.array([["a", "c"]], dtype=object), "x": models.floats(1, 6)}
    report = verify(proto, feeds, 2, "row")
    assert (report.ok, report.split_ops) == (True, 1)
