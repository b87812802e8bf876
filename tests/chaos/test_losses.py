"""What costs rank 0 its attempt: its own memory, and shards that are damaged or gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaos import injector
from chaos.faults import Fault
from runs.request import DEFAULT_STALL_S
from tests.chaos.memory_stage import MemoryStage, memory_stage
from tests.chaos.uniform import WIDTH, uniform_network

INPUTS: dict[str, Any] = {"x": np.ones((2, WIDTH), np.float32)}


def register(stage: MemoryStage, folder: Path, strategy: str, workers: int) -> None:
    path = folder / "uniform.onnx"
    path.write_bytes(uniform_network().SerializeToString())
    stage.register(path, "m", strategy, workers)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_rank_0_without_memory_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    def refuse() -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(injector, "exhaust_memory", refuse)
    with memory_stage(tmp_path, monkeypatch) as stage:
        register(stage, tmp_path, "row", 3)
        answer = stage.infer("m", INPUTS, (Fault("memory", 1, 0, at), Fault("memory", 2, 0, at)))
        assert (answer["status"], answer["attempts"]) == ("done", 3)
        assert stage.left_behind() == []


@pytest.mark.parametrize(("strategy", "workers"), [("serial", 1), ("row", 3)])
@pytest.mark.parametrize(("how", "word"), [("damaged", "CorruptBundleError"), ("gone", "MissingKeyError")])
def test_a_shard_that_stays_damaged_or_gone_ends_the_run_in_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, workers: int, how: str, word: str
) -> None:
    with memory_stage(tmp_path, monkeypatch) as stage:
        register(stage, tmp_path, strategy, workers)
        for key in [key for key in stage.s3.held if key.startswith("bundles/") and "manifest" not in key]:
            if how == "gone":
                stage.s3.delete_object(key)
            else:
                data = stage.s3.held[key].data
                stage.s3.put_object(key, data[:-1] + bytes([data[-1] ^ 1]))
        answer = stage.infer("m", INPUTS, ())
        assert answer["status"] == "failed"
        assert answer["error"]["type"] == "program_failed", answer["error"]
        assert word in answer["error"]["message"]
        assert answer["attempts"] == 2
        assert stage.left_behind() == []


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life twenty times as often, and believed as much earlier."""
    for name, seconds in {
        "runs.follower.PULSE_S": 0.25,
        "runs.patience.ASK_S": 0.25,
        "runs.vigil.SILENT_S": 1.0,
        "runs.vigil.IDLE_S": 1.0,
        "runs.vigil.FRESH_S": 0.5,
    }.items():
        monkeypatch.setattr(name, seconds)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("slot", "at"), [(0, 1), (1, 0), (1, 1), (2, 2)])
def test_a_lost_message_is_noticed_long_before_the_limit_of_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slot: int, at: int
) -> None:
    with memory_stage(tmp_path, monkeypatch) as stage:
        register(stage, tmp_path, "row", 3)
        answer = stage.infer("m", INPUTS, (Fault("drop", 1, slot, at),), start_s=4)
        assert (answer["status"], answer["attempts"]) == ("done", 2)
        assert answer["seconds"] < DEFAULT_STALL_S / 4
        assert stage.left_behind() == []


@pytest.mark.usefixtures("soon")
def test_a_worker_whose_death_nobody_tells_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_stage(tmp_path, monkeypatch) as stage:
        monkeypatch.setattr(stage, "tell_rank_0", lambda *_: None)
        register(stage, tmp_path, "row", 3)
        answer = stage.infer("m", INPUTS, (Fault("kill", 1, 1, 3),))
        assert (answer["status"], answer["attempts"]) == ("done", 2)
        assert answer["seconds"] < DEFAULT_STALL_S / 4
        assert stage.left_behind() == []
