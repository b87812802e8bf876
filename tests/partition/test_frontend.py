"""Reading models: what is legal runs, what is not gets one typed line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from client.verify import run_split, verify
from partition import InvalidModelError, UnsafeModelError
from partition.canonical import front_axes
from partition.frontend import load
from tests.partition import models


def external(folder: Path, location: str = "weights.bin", offset: int = 0) -> Path:
    """digits_mlp with its weights in a file beside it, then renamed to `location`."""
    path = folder / "model.onnx"
    onnx.save_model(models.digits_mlp(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
            if entry.key == "offset":
                entry.value = str(int(entry.value) + offset)
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_is_mapped_and_split(tmp_path: Path) -> None:
    path = external(tmp_path)
    tensors = [value.const_value for value in load(path).model.graph.initializers.values()]
    assert all(isinstance(tensor, ir.ExternalTensor) for tensor in tensors)
    assert verify(path, models.random_inputs(models.digits_mlp(), 5), 3, "row").ok


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "sub/../../weights.bin", ""])
def test_external_data_outside_of_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeModelError, match="folder"):
        load(external(tmp_path, location))


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 16))
    path = external(inside, "link.bin")
    (inside / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(UnsafeModelError, match=r"link\.bin"):
        load(path)


def test_missing_external_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"gone\.bin"):
        load(external(tmp_path, "gone.bin"))


def test_external_data_beyond_the_end_of_its_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="expected external data up to byte"):
        load(external(tmp_path, offset=1 << 20))


def test_external_data_of_a_model_in_memory_is_refused(tmp_path: Path) -> None:
    proto = onnx.load(external(tmp_path), load_external_data=False)
    with pytest.raises(UnsafeModelError, match="model given by path"):
        load(proto)


@pytest.mark.parametrize("data", [b"", b"hello world", bytes(100), b"\x08\x07"])
def test_file_that_is_no_onnx_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(InvalidModelError, match="expected ONNX"):
        load(path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(models.digits_mlp().SerializeToString()[:-100])
    with pytest.raises(InvalidModelError):
        load(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"'no\.onnx': expected an \.onnx file, got none there"):
        load(tmp_path / "no.onnx")


def test_unknown_domain_is_refused() -> None:
    proto = models.bias_only()
    proto.graph.node[0].domain = "example.unknown"
    with pytest.raises(InvalidModelError, match=r"expected a domain of onnxruntime, got 'example\.unknown'"):
        load(proto)


@pytest.mark.parametrize("version", [0, 10_000])
def test_unknown_opset_is_refused(version: int) -> None:
    proto = models.bias_only()
    proto.opset_import[0].version = version
    with pytest.raises(InvalidModelError, match="opset"):
        load(proto)


def test_cyclic_graph_is_refused() -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    with pytest.raises(InvalidModelError):
        load(models.model(nodes, {"x": ["n", 3]}, ["b"]))


def test_negative_dims_are_refused() -> None:
    proto = models.bias_only()
    proto.graph.initializer[0].dims[0] = -9
    with pytest.raises(InvalidModelError, match="dims >= 0"):
        load(proto)


def test_messages_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError) as caught:
        load(external(tmp_path, "new\nline.bin"))
    assert "\n" not in str(caught.value)


def test_model_that_is_handed_in_is_not_changed() -> None:
    proto = models.sparse_chain()
    before = proto.SerializeToString(deterministic=True)
    run_split(proto, models.sparse_inputs(4), 2, "row")
    assert proto.SerializeToString(deterministic=True) == before


def test_version_is_that_of_the_bytes(tmp_path: Path) -> None:
    one, other = models.digits_mlp(), models.residual()
    assert load(one).version == load(models.digits_mlp()).version
    assert load(one).version != load(other).version
    path = external(tmp_path)
    first = load(path).version
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(weights)
    assert load(path).version != first


def test_initializer_that_is_also_an_input_is_a_weight() -> None:
    proto = models.digits_mlp()
    proto.ir_version = 3
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    report = verify(proto, {"x": models.floats(5, 64)}, 3, "row")
    assert report.ok, report.problems
    assert report.split_ops > 0


def test_weight_that_is_an_output_is_delivered() -> None:
    proto = models.bias_only()
    proto.graph.output.append(helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [9]))
    assert verify(proto, None, 2, "row").ok


def test_input_that_is_an_output_is_delivered() -> None:
    proto = models.bias_only()
    proto.graph.output.append(helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 9]))
    assert verify(proto, None, 2, "batch").ok


def test_constant_with_a_sparse_value_is_made_dense() -> None:
    sparse = models.sparse_initializer("c", models.sparse_matrix(6, 5, 2, 0))
    nodes = [
        helper.make_node("Constant", [], ["w"], sparse_value=sparse),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    assert verify(models.model(nodes, {"x": ["n", 6]}, ["y"]), None, 2, "row").ok


def test_local_functions_are_inlined() -> None:
    body = [helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Relu", ["m"], ["r"])]
    opsets = [helper.make_opsetid("", 18)]
    function = helper.make_function("local", "Layer", ["a", "b"], ["r"], body, opsets)
    proto = models.model(
        [helper.make_node("Layer", ["x", "w"], ["y"], domain="local")],
        {"x": ["n", 6]},
        ["y"],
        {"w": models.floats(6, 8)},
    )
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("local", 1))
    report = verify(proto, None, 3, "row")
    assert report.ok
    assert report.split_ops > 0


def test_axes_are_counted_from_the_front() -> None:
    assert front_axes(3, (-1, 0, -2)) == [2, 0, 1]


def test_old_opset_with_bounds_as_attributes() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Clip", ["a"], ["y"], min=0.0, max=1.0)]
    proto = models.model(nodes, {"x": ["n", 6]}, ["y"], {"w": models.floats(6, 9)}, opset=7)
    proto.ir_version = 4
    for strategy in ("batch", "row", "column"):
        assert verify(proto, {"x": models.floats(5, 6)}, 3, strategy).ok


def test_string_tensors_stay_on_rank_0() -> None:
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.STRING, ["n"]) for name in ("x", "y")]
    words = numpy_helper.from_array(np.array(["-a"], dtype=object), "suffix")
    graph = helper.make_graph(
        [helper.make_node("StringConcat", ["x", "suffix"], ["y"])], "g", infos[:1], infos[1:], [words]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    for strategy in ("batch", "row", "column"):
        report = verify(proto, {"x": np.array(["p", "q"], dtype=object)}, 2, strategy)
        assert report.ok, report.problems
