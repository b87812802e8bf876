"""Objects that somebody else has put where the service keeps its own: a right answer, or one typed error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.chaos.memory_stage import MemoryStage, memory_stage
from tests.chaos.test_losses import INPUTS, register

RUN = "cd" * 16
GARBAGE = (b"", b"\x00\xff", b"{", b"[]", b"{}", b'{"term": "x"}', b"7")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStage]:
    with memory_stage(tmp_path, monkeypatch) as stage:
        register(stage, tmp_path, "row", 3)
        yield stage


def ask(stage: MemoryStage, **fields: Any) -> Any:
    return stage.infer("m", INPUTS, (), run_id=RUN, **{"start_s": 2, "wait_s": 30, **fields})


@pytest.mark.parametrize("data", GARBAGE)
def test_a_lane_whose_lease_cannot_be_read_is_taken_and_returned(stage: MemoryStage, data: bytes) -> None:
    stage.s3.put_object("lanes/0.json", data)
    answer = ask(stage)
    assert answer["status"] == "done"
    assert stage.s3.json("lanes/0.json")["run_id"] == ""
    assert stage.s3.json("lanes/0.json")["epoch"] > 1_000_000


@pytest.mark.parametrize("data", GARBAGE)
@pytest.mark.parametrize("name", ["request.json", "record.json"])
def test_a_run_id_that_is_taken_by_something_else_is_a_typed_error(stage: MemoryStage, name: str, data: bytes) -> None:
    stage.s3.put_object(f"runs/{RUN}/{name}", data)
    answer = ask(stage)
    assert answer["status"] == "failed"
    assert name in answer["error"]["message"]
    assert answer["error"]["type"] in ("run_not_found", "internal_error")


@pytest.mark.parametrize("data", GARBAGE)
@pytest.mark.parametrize("name", ["driver.json", "progress.bin"])
def test_a_state_that_cannot_be_read_means_nothing(stage: MemoryStage, name: str, data: bytes) -> None:
    expected = stage.infer("m", INPUTS, ())["outputs"]["y"]
    stage.s3.put_object(f"runs/{RUN}/{name}", data)
    answer = ask(stage)
    assert answer["status"] == "done"
    assert np.array_equal(answer["outputs"]["y"], expected)


def test_a_slot_that_somebody_else_has_claimed_costs_an_attempt(stage: MemoryStage) -> None:
    stage.s3.put_object(f"runs/{RUN}/claims/1-1", b"nobody")
    answer = ask(stage)
    assert (answer["status"], answer["attempts"]) == ("done", 2)
    assert [key for key in stage.left_behind() if "claims" in key] == []


def test_objects_that_nobody_asked_for_go_with_the_run(stage: MemoryStage) -> None:
    for name in ("x/1-1/0/0/1", "x/anything", "other"):
        stage.s3.put_object(f"runs/{RUN}/{name}", b"?")
    assert ask(stage)["status"] == "done"
    assert stage.left_behind() == []
