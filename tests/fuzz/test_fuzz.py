"""The fuzzing of `make fuzz`, in short; the mutants that broke something once; and that it would notice a break."""

from __future__ import annotations

import io
import os
import random
import signal
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from partition import InvalidModelError, compile_model
from runs.errors import BadRequest
from runs.values import load_npz
from tests.fuzz import run
from tests.fuzz.run import MEMORY_BYTES, fuzz
from tests.fuzz.targets import TARGETS, Target, frame_seeds, sign
from tests.partition.models import model

COUNTS = {"frames": 3_000, "manifests": 300, "npz": 500, "onnx": 100, "parcels": 2_000, "requests": 500}


@pytest.mark.parametrize("target", TARGETS)
def test_mutants_end_in_the_targets_own_errors_in_bounded_memory(target: str, tmp_path: Path) -> None:
    found = fuzz(target, 2026, COUNTS[target], 120, tmp_path)
    assert found.failures == ()
    assert found.mutants == COUNTS[target]
    assert found.grown_bytes <= MEMORY_BYTES


def test_every_second_mutant_of_a_frame_is_signed() -> None:
    seeds = frame_seeds()
    mutants = [TARGETS["frames"].mutant(random.Random(number), seeds) for number in range(400)]
    assert 150 <= sum(data == sign(data) for data in mutants if len(data) > 40) <= 300


@pytest.mark.parametrize("ending", ["error", "crash", "hang", "memory"])
def test_what_breaks_a_target_is_noticed(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(data: bytes) -> None:
        if data != b"seed":
            _END[ending]()

    monkeypatch.setitem(TARGETS, "frames", Target(lambda: [b"seed"], check))
    monkeypatch.setattr(run, "HANG_S", 1)
    monkeypatch.setattr(run, "MAX_FAILURES", 1)
    found = fuzz("frames", 1, 50, 60, tmp_path)
    assert len(found.failures) == 1
    assert list(tmp_path.iterdir())


def _divide() -> None:
    raise ZeroDivisionError


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> None:
    while True:
        pass


def _take() -> None:
    bytearray(2 * MEMORY_BYTES)


_END = {"error": _divide, "crash": _crash, "hang": _hang, "memory": _take}


def relu(**changes: Any) -> onnx.ModelProto:
    """y = Relu(x), with a broken node where asked for."""
    node = helper.make_node("Relu", changes.get("inputs", ["x"]), changes.get("outputs", ["y"]))
    return model([node], {"x": ["n", 4]}, [changes.get("result", "y")])


def _untyped_attribute() -> onnx.ModelProto:
    proto = relu()
    proto.graph.node[0].attribute.add().name = "a"
    return proto


def _untyped_weight() -> onnx.ModelProto:
    proto = relu()
    proto.graph.initializer.append(TensorProto(name="w", dims=[1], raw_data=bytes(4)))
    return proto


BROKEN = {
    "an input that nobody makes": relu(inputs=["z"]),
    "an output that nobody makes": relu(result="z"),
    "no input": relu(inputs=[]),
    "too many inputs": relu(inputs=["x", "x"]),
    "an attribute without a type": _untyped_attribute(),
    "a weight without a type": _untyped_weight(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_is_not_well_formed_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError):
        compile_model(BROKEN[name], "row", 2, tmp_path)


def test_two_ops_that_make_one_value_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["y"])]
    with pytest.raises(InvalidModelError, match="several"):
        compile_model(model(nodes, {"x": ["n", 4]}, ["y"]), "row", 2, tmp_path)


def test_an_array_that_claims_more_than_it_brings_is_refused_before_memory_is_taken() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (127 - 10 - len(header)) + b"\n"
    file = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.npy", file)
    with pytest.raises(BadRequest, match="expected 16 bytes"):
        load_npz(packed.getvalue(), {}, "inputs")
