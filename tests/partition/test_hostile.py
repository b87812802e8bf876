"""Hostile files through `fsd verify`, in a process of its own: one line, status 2, bounded memory and time."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.partition.models import model

HUGE = np.array([10**6, 10**6])
ONE = np.array([1], np.float32)
MEMORY_BYTES, LIMIT_S = 500 << 20, 60  # the limit ends a hang; it measures nothing
SHELL_NAME = "a\n$(touch pwned);`id`|\"'"


def check(path: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`fsd verify` on a file, with its data segment bounded."""
    return subprocess.run(
        [sys.executable, "-m", "client.cli", "verify", str(path), "--workers", "2", "--strategy", "row"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        preexec_fn=_bounded,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def _bounded() -> None:
    # Every thread's stack counts as data, and onnxruntime starts one per processor.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def write(folder: Path, proto: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def matmul(weight: onnx.TensorProto) -> onnx.ModelProto:
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]}, ["y"])
    proto.graph.initializer.append(weight)
    return proto


def grown(nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """x + c, where the nodes make c from small constants."""
    weights: dict[str, Any] = {"s": HUGE, "one": ONE, "one2": ONE[:, None], "end": np.array(10**12), "k": np.array(1)}
    weights |= {"zero": np.array(0), "pads": np.concatenate([np.zeros(2, np.int64), HUGE])}
    read = {name for node in nodes for name in node.input}
    last = helper.make_node("Add", ["x", "c"], ["y"])
    return model([*nodes, last], {"x": ["n", 4]}, ["y"], {k: v for k, v in weights.items() if k in read})


def doubled(times: int) -> list[onnx.NodeProto]:
    """One number, doubled so often."""
    names = ["one", *(f"d{i}" for i in range(1, times)), "c"]
    return [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names)]


def sparse(dims: list[int]) -> onnx.ModelProto:
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]}, ["y"])
    values, indices = numpy_helper.from_array(ONE, "w"), numpy_helper.from_array(np.array([0]), "i")
    proto.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=indices, dims=dims))
    return proto


CYCLE = [helper.make_node("Add", ["x", "y"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
CHAIN = [helper.make_node("Relu", [f"h{i}" if i else "x"], [f"h{i + 1}"]) for i in range(100_000)]
HOSTILE = {
    "cycle": lambda: model(CYCLE, {"x": ["n", 4]}, ["y"]),
    "constant_of_shape": lambda: grown([helper.make_node("ConstantOfShape", ["s"], ["c"])]),
    "expand": lambda: grown([helper.make_node("Expand", ["one", "s"], ["c"])]),
    "range": lambda: grown(
        [
            helper.make_node("Range", ["zero", "end", "k"], ["r"]),
            helper.make_node("Cast", ["r"], ["c"], to=TensorProto.FLOAT),
        ]
    ),
    "doubled": lambda: grown(doubled(40)),
    "pad": lambda: grown([helper.make_node("Pad", ["one2", "pads"], ["c"])]),
    "resize": lambda: grown([helper.make_node("Resize", ["one2", "", "", "s"], ["c"])]),
    "sparse": lambda: sparse([4, 10**12]),
    "giant_input": lambda: model([helper.make_node("Relu", ["x"], ["y"])], {"x": HUGE.tolist()}, ["y"]),
    "no_heads": lambda: model(
        [helper.make_node("Attention", ["x", "x", "x"], ["y"], q_num_heads=0, kv_num_heads=0)],
        {"x": [1, 4, 8]},
        ["y"],
        opset=23,
    ),
    "tile": lambda: grown([helper.make_node("Tile", ["one2", "s"], ["c"])]),
    "short_bytes": lambda: matmul(TensorProto(name="w", data_type=1, dims=[4, 4], raw_data=bytes(4))),
    "claimed_elements": lambda: matmul(TensorProto(name="w", data_type=1, dims=HUGE.tolist())),
    "claimed_values": lambda: matmul(TensorProto(name="w", data_type=1, dims=HUGE.tolist(), float_data=[1.0])),
    "wrong_shape": lambda: matmul(numpy_helper.from_array(np.ones((5, 4), np.float32), "w")),
    "negative_dims": lambda: matmul(TensorProto(name="w", data_type=1, dims=[-4, -4], raw_data=bytes(64))),
    "unknown_domain": lambda: model([helper.make_node("F", ["x"], ["y"], domain="no.such")], {"x": [4]}, ["y"]),
    "many_nodes": lambda: model(CHAIN, {"x": ["n", 4]}, ["h100000"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_gets_one_line_and_status_2(name: str, tmp_path: Path) -> None:
    done = check(write(tmp_path, HOSTILE[name]()), tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [line[:5] for line in done.stderr.splitlines() if line.strip()] == ["fsd: "], done.stderr


def test_names_of_the_shell_are_only_names(tmp_path: Path) -> None:
    node = helper.make_node("Relu", [SHELL_NAME], ["y"], name=SHELL_NAME)
    done = check(write(tmp_path, model([node], {SHELL_NAME: ["n", 4]}, ["y"])), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ok: True" in done.stdout
