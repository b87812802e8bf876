"""Runs among faults, in memory: all right, nothing left; and the proof that a missing safeguard would be noticed."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from chaos import injector
from chaos.defects import without_deadlines
from chaos.faults import KINDS, Fault
from chaos.plan import plan_run
from client.verify_compare import compare
from runs import patience
from tests.chaos.memory_stage import MemoryStage, memory_stage
from tests.chaos.uniform import WIDTH, uniform_network

# What a thread can suffer: no requests of an SDK; a killed rank 0 takes its client with it here.
BEARABLE = tuple(kind for kind, what in KINDS.items() if what.place != "request" and kind != "kill_rank_0")
LIMITS: dict[str, Any] = {"deadline_s": 60.0, "wait_s": 60.0, "start_s": 1.5, "stall_s": 0.8, "max_attempts": 5}
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pressure is put on one thread alone, not on the process of the tests."""

    def refuse() -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(injector, "exhaust_memory", refuse)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Arrays, Arrays]:
    """A network whose layers are alike, with inputs and truth."""
    path = tmp_path_factory.mktemp("network") / "uniform.onnx"
    path.write_bytes(uniform_network().SerializeToString())
    inputs = {"x": np.random.default_rng(1).normal(size=(6, WIDTH)).astype(np.float32)}
    return path, inputs, {"y": ort.InferenceSession(path).run(["y"], inputs)[0]}


def plans(count: int, kinds: tuple[str, ...], slots: int = 3) -> list[tuple[Fault, ...]]:
    return [plan_run(11, number, slots, kinds) for number in range(count)]


def test_every_run_among_bearable_faults_is_right_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: tuple[Path, Arrays, Arrays]
) -> None:
    path, inputs, expected = network
    with memory_stage(tmp_path, monkeypatch) as stage:
        for strategy in ("row", "column", "batch"):
            stage.register(path, strategy, strategy, 3)
        for number, faults in enumerate(plans(24, BEARABLE)):
            answer = stage.infer(("row", "column", "batch")[number % 3], inputs, faults, **LIMITS)
            assert answer["status"] == "done", (number, faults, answer)
            assert compare(expected, answer["outputs"]).problems == ()
        assert stage.left_behind() == []
    injected = Counter(note["kind"] for note in stage.desk.notes() if note["what"] == "fault")
    assert set(injected) == set(BEARABLE)


def ends(
    stage: MemoryStage, network: tuple[Path, Arrays, Arrays], kind: str, patience_s: float = 90.0, **limits: float
) -> Counter[str]:
    """How runs end that meet one kind of fault; one that takes longer than `patience_s` hangs."""
    path, inputs, expected = network
    stage.register(path, "row", "row", 3)
    counted: Counter[str] = Counter()
    for number in range(6):
        faults = (Fault(kind, 1, number % 3, 2),)
        answers: list[Any] = []

        def ask(faults: tuple[Fault, ...] = faults, answers: list[Any] = answers) -> None:
            answers.append(stage.infer("row", inputs, faults, **{**LIMITS, **limits}))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(patience_s)
        counted[_end(answers, expected)] += 1
        if not answers:
            break  # it holds the only lane
    for late in (thread, *stage.running):  # what a run prints is not to be found in another test's output
        late.join()
    return counted


def _end(answers: list[Any], expected: Arrays) -> str:
    if not answers:
        return "hang"
    if answers[0]["status"] != "done":
        return "typed_error"
    return "wrong" if compare(expected, answers[0]["outputs"]).problems else "right"


def test_without_deduplication_answers_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: tuple[Path, Arrays, Arrays]
) -> None:
    with memory_stage(tmp_path, monkeypatch) as stage:
        assert ends(stage, network, "duplicate") == {"right": 6}
    (tmp_path / "without").mkdir()
    with memory_stage(tmp_path / "without", monkeypatch, "deduplication") as stage:
        assert ends(stage, network, "duplicate")["wrong"] > 0


def test_without_deadlines_runs_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: tuple[Path, Arrays, Arrays]
) -> None:
    with memory_stage(tmp_path, monkeypatch) as stage:
        assert ends(stage, network, "drop") == {"right": 6}
    (tmp_path / "without").mkdir()
    monkeypatch.setattr(patience, "ASK_S", patience.ASK_S)  # and back, afterwards
    without_deadlines()
    with memory_stage(tmp_path / "without", monkeypatch) as stage:
        limits = {"stall_s": 60.0, "start_s": 60.0, "deadline_s": 15.0}
        assert ends(stage, network, "drop", 5.0, **limits)["hang"] > 0
