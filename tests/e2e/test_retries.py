"""A run that loses a worker begins again, on the same lane, and ends in the right answer."""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.api import RunFailed
from tests.conftest import Deployment
from tests.e2e.world import assert_only_the_result_is_left, await_usage, killing_a_worker, leases

Inputs = dict[str, NDArray[Any]]


KILLS = 20
# Of these in every run of the tests; all of them with `pytest -m soak`.
SHORT = 4


@pytest.fixture(scope="module")
def undisturbed(deployment: Deployment, slow_model: tuple[str, Inputs]) -> dict[str, tuple[NDArray[Any], float]]:
    """The slow model's answer, and what it takes when nobody is killed and all is warm, in seconds, by channel."""
    measured = {}
    for channel in ("queue", "object"):
        for _ in range(2):
            started = time.monotonic()
            answer = deployment.client.infer(*slow_model, channel=channel)
        assert (answer.figures["attempts"], answer.figures["calls_complete"]) == (1, True)
        measured[channel] = (answer.outputs["y"], time.monotonic() - started)
    return measured


@pytest.mark.parametrize("kill", [pytest.param(n, marks=() if n < SHORT else pytest.mark.soak) for n in range(KILLS)])
def test_a_worker_killed_at_any_step_costs_one_attempt_and_the_answer_is_right(
    deployment: Deployment,
    slow_model: tuple[str, Inputs],
    undisturbed: dict[str, tuple[NDArray[Any], float]],
    kill: int,
) -> None:
    """Rank 0 knows of the death within seconds; that is held in time with -m soak, on a machine of ones own."""
    (name, inputs), run_id, channel = slow_model, uuid.uuid4().hex, ("queue", "object")[kill % 2]
    expected, seconds = undisturbed[channel]
    after_s = seconds * float(np.random.default_rng(kill).uniform(0, 0.6))
    started = time.monotonic()
    with killing_a_worker(deployment, run_id, after_s=after_s):
        answer = deployment.client.infer(name, inputs, run_id=run_id, channel=channel)
        took = time.monotonic() - started
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] <= 2
    assert answer.figures["calls_complete"] is (answer.figures["attempts"] == 1)
    if kill >= SHORT:
        assert took < 3 * seconds + 5
    assert leases(deployment) == []
    assert_only_the_result_is_left(deployment, answer.run_id)


def test_a_run_that_was_handed_over_survives_a_killed_worker(
    deployment: Deployment, slow_model: tuple[str, Inputs]
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    with killing_a_worker(deployment, run_id):
        answer = deployment.client.infer(name, inputs, run_id=run_id, wait_s=0.5)
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 2
    assert_only_the_result_is_left(deployment, answer.run_id)


@pytest.mark.parametrize("channel", ["queue", "object"])
def test_a_run_without_an_answer_leaves_nothing_but_its_record(
    deployment: Deployment, slow_model: tuple[str, Inputs], channel: str
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    with killing_a_worker(deployment, run_id), pytest.raises(RunFailed) as failure:
        deployment.client.infer(name, inputs, run_id=run_id, channel=channel, max_attempts=1)
    error = failure.value.error
    assert error["type"] == "worker_failed"
    assert error["slot"] in (1, 2)
    assert f"slot {error['slot']}" in error["message"]
    assert error["request_ids"][-1] in error["message"]
    assert leases(deployment) == []
    assert_only_the_result_is_left(deployment, failure.value.run_id)


def test_workers_of_a_run_that_failed_leave_soon(deployment: Deployment, slow_model: tuple[str, Inputs]) -> None:
    """Nobody waits for the deadline: the survivors' invocations end, and their usage is in the bill."""
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    with killing_a_worker(deployment, run_id), pytest.raises(RunFailed) as failure:
        deployment.client.infer(name, inputs, run_id=run_id, channel="object", max_attempts=1)
    assert len(await_usage(deployment, failure.value.run_id, 2, within_s=20)) == 2


def test_two_killed_workers_cost_two_attempts(deployment: Deployment, slow_model: tuple[str, Inputs]) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    with killing_a_worker(deployment, run_id), killing_a_worker(deployment, run_id, attempt=2):
        answer = deployment.client.infer(name, inputs, run_id=run_id)
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 3
