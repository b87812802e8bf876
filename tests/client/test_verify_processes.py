"""Ranks in processes of their own: the same answers, real memory, and no process left whatever happens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from bundle.store import FolderStore
from client import verify_processes
from client.cli import main
from client.errors import UsageError
from client.rank_process import RankTask
from client.verify import reference, verify
from client.verify_compare import compare
from client.verify_processes import RankFailed, run_processes
from partition import compile_to_store
from tests.partition import models


def test_every_kind_of_value_comes_and_goes(tmp_path: Path) -> None:
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    nodes = [
        helper.make_node("SequenceInsert", ["s", "x"], ["t"]),
        helper.make_node("StringConcat", ["u", "u"], ["v"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    proto = models.model(nodes, {"x": ["n", 6], "u": [2]}, ["y", "v"], {"w": models.floats(6, 5)}, opset=20)
    for info in (proto.graph.input[1], proto.graph.output[1]):
        info.type.tensor_type.elem_type = TensorProto.STRING
    proto.graph.input.append(helper.make_value_info("s", sequence))
    proto.graph.output.append(helper.make_value_info("t", sequence))
    feeds = {
        "x": models.floats(3, 6),
        "u": np.array(["a", "ö"], dtype=object),
        "s": [models.floats(2, 2), models.floats(1)],
    }
    store = FolderStore(tmp_path)
    manifest = compile_to_store(store, proto, "row", 2)
    outputs, ranks = run_processes(tmp_path, manifest, feeds, deadline_s=60)
    assert compare(reference(proto, feeds), outputs).ok
    assert [rank.error for rank in ranks] == ["", ""]
    with pytest.raises(UsageError, match="'x' is missing"):
        run_processes(tmp_path, manifest, {})


def test_report_has_the_real_memory_of_each_rank() -> None:
    weight = models.floats(1024, 4096)
    proto = models.model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 1024]}, ["y"], {"w": weight})
    feeds = {"x": models.floats(4, 1024)}
    report = verify(proto, feeds, 2, "row", processes=True)
    assert report.ok
    for rank in report.ranks:
        assert rank.weight_bytes == weight.nbytes // 2
        assert rank.peak_bytes - rank.baseline_bytes >= rank.weight_bytes
        assert 0 < rank.tensor_bytes < rank.baseline_bytes
    inside = verify(proto, feeds, 2, "row")
    assert (inside.exchanged_bytes, inside.exchanges) == (report.exchanged_bytes, report.exchanges)
    assert [rank.tensor_bytes for rank in inside.ranks] == [rank.tensor_bytes for rank in report.ranks]


def test_rank_that_fails_is_named(tmp_path: Path) -> None:
    manifest = compile_to_store(FolderStore(tmp_path), models.digits_mlp(), "row", 2)
    with pytest.raises(RankFailed, match=r"rank \d: .*Error"):
        run_processes(tmp_path, manifest, {"x": models.floats(5, 63)}, deadline_s=60)


def test_rank_whose_process_is_killed_is_named_and_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = verify_processes._start

    def start_and_kill(task: RankTask) -> subprocess.Popen[bytes]:
        started.append(start(task))
        if task.slot == 1:
            started[-1].kill()
        return started[-1]

    monkeypatch.setattr(verify_processes, "_start", start_and_kill)
    manifest = compile_to_store(FolderStore(tmp_path), models.digits_mlp(), "row", 2)
    with pytest.raises(RankFailed, match="rank 1: its process ended with status -9"):
        run_processes(tmp_path, manifest, {"x": models.floats(5, 64)}, deadline_s=60)
    assert all(process.poll() is not None for process in started)


def test_command_says_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", "digits-mlp", "--workers", "2", "--strategy", "column", "--processes", "--json"]
    assert main(words) == 0
    ranks = json.loads(capsys.readouterr().out)["ranks"]
    assert all(rank["peak_bytes"] > rank["baseline_bytes"] > 1 << 20 for rank in ranks)
