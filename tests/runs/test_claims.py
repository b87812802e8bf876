"""A slot of an attempt is taken once, on a real conditional store."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from runs.claims import Claims
from runs.objects import Objects
from runs.record import RunFiles
from tests.conftest import Deployment


@pytest.fixture
def objects(deployment: Deployment) -> Objects:
    """The stage's bucket."""
    return Objects(deployment.client.stage.s3, deployment.client.stage.bucket)


@pytest.fixture
def run_id(objects: Objects) -> Iterator[str]:
    """A run of the test's own."""
    name = uuid.uuid4().hex
    yield name
    RunFiles(objects, name).sweep()


def test_of_many_copies_of_a_slot_one_stays(objects: Objects, run_id: str) -> None:
    taken: list[str] = []

    def start() -> None:
        claim = Claims(objects, run_id, 1).take(3)
        if claim is not None:
            taken.append(claim)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert Claims(objects, run_id, 2).take(3) is not None


def test_a_slot_that_was_barred_cannot_come_any_more(objects: Objects, run_id: str) -> None:
    claims = Claims(objects, run_id, 1)
    assert claims.take(1) is not None
    assert claims.bar([1, 2]) == [1]
    assert claims.take(2) is None


def test_rank_0_waits_for_those_that_have_not_left(objects: Objects, run_id: str) -> None:
    claims = Claims(objects, run_id, 1)
    slept: list[float] = []
    first, second = claims.take(1), claims.take(2)
    assert first is not None
    assert second is not None
    claims.leave(1, first)
    assert claims.await_left([1, 2], 1.0, slept.append) == [2]
    assert sum(slept) == 1.0
    claims.leave(2, second)
    assert claims.await_left([1, 2], 1.0, slept.append) == []


def test_who_leaves_after_the_clean_up_leaves_nothing_behind(objects: Objects, run_id: str) -> None:
    claims = Claims(objects, run_id, 1)
    claim = claims.take(1)
    assert claim is not None
    RunFiles(objects, run_id).sweep()
    claims.leave(1, claim)
    assert [key for page in objects.keys(f"runs/{run_id}/") for key in page] == []


def test_what_came_after_the_clean_up_is_deleted_and_the_answer_kept(objects: Objects, run_id: str) -> None:
    files = RunFiles(objects, run_id)
    assert Claims(objects, run_id, 1).take(1) is not None
    for name in ("x/1-13/-1/0/1", "record.json"):
        objects.put(files.key(name), b"{}")
    assert files.has_ended()
    files.sweep_sent()
    assert [key for page in objects.keys(files.key("")) for key in page] == [files.key("record.json")]
    objects.remove(files.key("record.json"))
