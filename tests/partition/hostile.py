"""Files that are damaged, hostile or merely odd: each is written to a folder, by name."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.partition.models import model

HUGE = np.array([10**6, 10**6])
ONE = np.array([1], np.float32)
SHELL_NAME = "a\n$(touch pwned);`id`|\"'"
Maker = Callable[[Path], Path]


def written(make: Callable[[], onnx.ModelProto]) -> Maker:
    """Writes the model that `make` gives."""

    def write(folder: Path) -> Path:
        return _bytes(folder, make().SerializeToString())

    return write


def _bytes(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def relu(name: str = "x", dims: Sequence[int | str] = ("n", 4)) -> onnx.ModelProto:
    """One node."""
    return model([helper.make_node("Relu", [name], ["y"])], {name: list(dims)}, ["y"])


def matmul(weight: onnx.TensorProto, inner: int = 4) -> onnx.ModelProto:
    """x w."""
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", inner]}, ["y"])
    proto.graph.initializer.append(weight)
    return proto


def grown(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """x + c, where the nodes make c from small constants."""
    weights: dict[str, Any] = {"s": HUGE, "one": ONE, "one2": ONE[:, None], "end": np.array(10**12), "k": np.array(1)}
    weights |= {"zero": np.array(0), "pads": np.concatenate([np.zeros(2, np.int64), HUGE]), "yes": np.array(True)}
    weights |= {"pad1": np.array([0, 10**12]), "scales": np.array([1e6, 1e6], np.float32), "many": np.array(10**9)}
    read = {name for node in nodes for name in node.input}
    last = helper.make_node("Add", ["x", "c"], ["y"])
    return model([*nodes, last], {"x": ["n", 4]}, ["y"], {k: v for k, v in weights.items() if k in read})


def doubled(times: int) -> list[onnx.NodeProto]:
    """One number, doubled so often."""
    names = ["one", *(f"d{i}" for i in range(1, times)), "c"]
    return [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names)]


def sparse(dims: list[int], place: int = 0) -> onnx.ModelProto:
    """x w, where w has one value at `place`."""
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]}, ["y"])
    values, indices = numpy_helper.from_array(ONE, "w"), numpy_helper.from_array(np.array([place]), "i")
    proto.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=indices, dims=dims))
    return proto


def looped(trips: str, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """A Loop over a constant number of trips, whose body adds to what it carries."""
    body = helper.make_graph(
        list(nodes),
        "body",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (("i", 7, []), ("go", 9, []), ("v", 1, None))],
        [helper.make_tensor_value_info(n, t, None) for n, t in (("go2", 9), ("v2", 1))],
    )
    return grown(helper.make_node("Loop", [trips, "yes", "one"], ["c"], body=body))


def nested(depth: int) -> onnx.ModelProto:
    """An If in an If, and so on."""
    result = helper.make_tensor_value_info("r0", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["r0"])], "g0", [], [result])
    for i in range(1, depth):
        node = helper.make_node("If", ["yes"], [f"r{i}"], then_branch=graph, else_branch=graph if i < 2 else _leaf(i))
        result = helper.make_tensor_value_info(f"r{i}", TensorProto.FLOAT, None)
        graph = helper.make_graph([node], f"g{i}", [], [result])
    last = helper.make_node("If", ["yes"], ["y"], then_branch=graph, else_branch=_leaf(depth))
    return model([last], {"x": ["n", 4]}, ["y"], {"yes": np.array(True)})


def _leaf(number: int) -> onnx.GraphProto:
    result = helper.make_tensor_value_info(f"l{number}", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Identity", ["x"], [f"l{number}"])], f"leaf{number}", [], [result])


def recursive(through: int) -> onnx.ModelProto:
    """Functions that call each other in a ring."""
    proto = model([helper.make_node("F0", ["x"], ["y"], domain="own")], {"x": ["n", 4]}, ["y"])
    proto.opset_import.append(helper.make_opsetid("own", 1))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    for i in range(through):
        call = helper.make_node(f"F{(i + 1) % through}", ["a"], ["b"], domain="own")
        proto.functions.append(helper.make_function("own", f"F{i}", ["a"], ["b"], [call], opsets))
    return proto


def external(location: str, offset: str = "0", length: str = "64", nbytes: int = 64) -> Maker:
    """A weight in a file beside the model, or elsewhere."""

    def write(folder: Path) -> Path:
        (folder / "data.bin").write_bytes(bytes(nbytes))
        weight = TensorProto(name="w", data_type=1, dims=[4, 4], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            weight.external_data.add(key=key, value=value)
        return _bytes(folder, matmul(weight).SerializeToString())

    return write


def linked(target: str) -> Maker:
    """External data that is a link to another place."""

    def write(folder: Path) -> Path:
        (folder / "link.bin").symlink_to(target)
        return external("link.bin")(folder)

    return write


def _loop_of_links(folder: Path) -> Path:
    (folder / "model.onnx").symlink_to(folder / "other.onnx")
    (folder / "other.onnx").symlink_to(folder / "model.onnx")
    return folder / "model.onnx"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "model.onnx")
    return folder / "model.onnx"


def _fifo_data(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.bin")
    return external("pipe.bin")(folder)


def _device(folder: Path) -> Path:
    (folder / "model.onnx").symlink_to("/dev/zero")
    return folder / "model.onnx"


def _folder(folder: Path) -> Path:
    (folder / "model.onnx").mkdir()
    return folder / "model.onnx"


def _text(data: bytes) -> Maker:
    return lambda folder: _bytes(folder, data)


def _truncated(folder: Path) -> Path:
    data = matmul(numpy_helper.from_array(np.ones((4, 4), np.float32), "w")).SerializeToString()
    return _bytes(folder, data[: len(data) // 2])


def _not_utf8(folder: Path) -> Path:
    return _bytes(folder, relu("QQQQ").SerializeToString().replace(b"QQQQ", b"\xff\xfe\xfdQ"))


def _many_weights() -> onnx.ModelProto:
    proto = relu()
    proto.graph.initializer.extend(TensorProto(name=f"w{i}", data_type=1, dims=[0], raw_data=b"") for i in range(10**6))
    return proto


def _twice_made() -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["y"])]
    return model(nodes, {"x": ["n", 4]}, ["y"])


def _weight_made_again() -> onnx.ModelProto:
    proto = matmul(numpy_helper.from_array(np.ones((4, 4), np.float32), "w"))
    proto.graph.node.insert(0, helper.make_node("Relu", ["x"], ["w"]))
    return proto


def _twice_input() -> onnx.ModelProto:
    proto = relu()
    proto.graph.input.append(proto.graph.input[0])
    return proto


def _deep_bytes() -> bytes:
    """Ifs inside of each other, deeper than protobuf reads."""
    data = nested(20).graph.SerializeToString()
    for _ in range(200):
        attribute = _field(1, b"then_branch") + _field(6, data) + b"\xa0\x01\x05"
        data = _field(1, _field(4, b"If") + _field(5, attribute)) + _field(2, b"deep")
    return bytes(onnx.ModelProto(ir_version=10).SerializeToString()) + _field(7, data)


def _field(number: int, data: bytes) -> bytes:
    """A protobuf field of bytes."""
    size, digits = len(data), []
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *digits, size]) + data


CYCLE = [helper.make_node("Add", ["x", "y"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
CHAIN = [helper.make_node("Relu", [f"h{i}" if i else "x"], [f"h{i + 1}"]) for i in range(100_000)]
_KEEP = helper.make_node("Identity", ["go"], ["go2"])
_DOUBLE = [_KEEP, helper.make_node("Concat", ["v", "v"], ["v2"], axis=0)]
_FLOAT: dict[str, Any] = {"to": TensorProto.FLOAT}
PROTOS: dict[str, Callable[[], onnx.ModelProto]] = {
    "cycle": lambda: model(CYCLE, {"x": ["n", 4]}, ["y"]),
    "constant_of_shape": lambda: grown(helper.make_node("ConstantOfShape", ["s"], ["c"])),
    "expand": lambda: grown(helper.make_node("Expand", ["one", "s"], ["c"])),
    "range": lambda: grown(
        helper.make_node("Range", ["zero", "end", "k"], ["r"]), helper.make_node("Cast", ["r"], ["c"], **_FLOAT)
    ),
    "doubled": lambda: grown(*doubled(40)),
    "pad": lambda: grown(helper.make_node("Pad", ["one2", "pads"], ["c"])),
    "pad_one": lambda: grown(helper.make_node("Pad", ["one", "pad1"], ["c"])),
    "resize": lambda: grown(helper.make_node("Resize", ["one2", "", "", "s"], ["c"])),
    "resize_scales": lambda: grown(helper.make_node("Resize", ["one2", "", "scales"], ["c"])),
    "one_hot": lambda: grown(
        helper.make_node("Cast", ["one2"], ["i"], to=7),
        helper.make_node("Concat", ["one", "one"], ["v"], axis=0),
        helper.make_node("OneHot", ["i", "end", "v"], ["c"]),
    ),
    "eye_like": lambda: grown(
        helper.make_node("ConstantOfShape", ["s"], ["z"]), helper.make_node("EyeLike", ["z"], ["c"])
    ),
    "sparse": lambda: sparse([4, 10**12]),
    "sparse_place": lambda: sparse([4, 4], 99),
    "sparse_negative": lambda: sparse([4, 4], -3),
    "giant_input": lambda: relu(dims=HUGE.tolist()),
    "overflowing_input": lambda: relu(dims=[2**62, 2**62]),
    "overflowing_weight": lambda: matmul(TensorProto(name="w", data_type=1, dims=[2**32, 2**32], raw_data=b"")),
    "no_heads": lambda: model(
        [helper.make_node("Attention", ["x", "x", "x"], ["y"], q_num_heads=0, kv_num_heads=0)],
        {"x": [1, 4, 8]},
        ["y"],
        opset=23,
    ),
    "tile": lambda: grown(helper.make_node("Tile", ["one2", "s"], ["c"])),
    "short_bytes": lambda: matmul(TensorProto(name="w", data_type=1, dims=[4, 4], raw_data=bytes(4))),
    "claimed_elements": lambda: matmul(TensorProto(name="w", data_type=1, dims=HUGE.tolist())),
    "claimed_values": lambda: matmul(TensorProto(name="w", data_type=1, dims=HUGE.tolist(), float_data=[1.0])),
    "claimed_strings": lambda: matmul(TensorProto(name="w", data_type=8, dims=HUGE.tolist(), string_data=[b"a"])),
    "wrong_shape": lambda: matmul(numpy_helper.from_array(np.ones((5, 4), np.float32), "w")),
    "negative_dims": lambda: matmul(TensorProto(name="w", data_type=1, dims=[-4, -4], raw_data=bytes(64))),
    "unknown_type": lambda: matmul(TensorProto(name="w", data_type=99, dims=[4, 4], raw_data=bytes(64))),
    "unknown_domain": lambda: model([helper.make_node("F", ["x"], ["y"], domain="no.such")], {"x": [4]}, ["y"]),
    "unknown_op": lambda: model([helper.make_node("Nonsense", ["x"], ["y"])], {"x": [4]}, ["y"]),
    "many_nodes": lambda: model(CHAIN, {"x": ["n", 4]}, ["h100000"]),
    "many_weights": _many_weights,
    "twice_made": _twice_made,
    "twice_input": _twice_input,
    "twice_named": lambda: model(
        [helper.make_node("Relu", ["x"], ["h"], name="n"), helper.make_node("Neg", ["h"], ["y"], name="n")],
        {"x": ["n", 4]},
        ["y"],
    ),
    "weight_made_again": _weight_made_again,
    "recursive": lambda: recursive(1),
    "recursive_ring": lambda: recursive(3),
    "deep_calls": lambda: recursive_free(1000),
    "growing_loop": lambda: looped("many", _DOUBLE),
}


def recursive_free(depth: int) -> onnx.ModelProto:
    """Functions inside of each other, of which the last ends."""
    proto = recursive(depth)
    proto.functions[-1].node[0].CopyFrom(helper.make_node("Relu", ["a"], ["b"]))
    return proto


HOSTILE: dict[str, Maker] = {
    **{name: written(make) for name, make in PROTOS.items()},
    "absolute_data": external("/etc/passwd"),
    "climbing_data": external("../../etc/passwd"),
    "linked_data": linked("/etc/passwd"),
    "link_loop_data": linked("link.bin"),
    "fifo_data": _fifo_data,
    "long_data": external("d" * 5000),
    "newline_data": external("a\n$(touch pwned)"),
    "missing_data": external("nowhere.bin"),
    "data_too_short": external("data.bin", length="64", nbytes=10),
    "data_length": external("data.bin", length="16"),
    "data_offset": external("data.bin", offset="60"),
    "data_overflow": external("data.bin", offset=str(2**63)),
    "data_negative": external("data.bin", offset="-8"),
    "data_no_number": external("data.bin", offset="0x\n10"),
    "deep": lambda folder: _bytes(folder, _deep_bytes()),
    "empty": _text(b""),
    "no_protobuf": _text(b"\x80PNG not a model"),
    "truncated": _truncated,
    "not_utf8": _not_utf8,
    "folder": _folder,
    "fifo": _fifo,
    "device": _device,
    "link_loop": _loop_of_links,
}
