"""A run that loses a worker begins again, on the same lane, and ends in the right answer."""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.api import RunFailed
from client.errors import CloudError
from runs.lease_keeper import LEASE_S
from tests.conftest import Deployment
from tests.e2e.world import free, keys_under, killing_a_worker, leases

Inputs = dict[str, NDArray[Any]]


@pytest.mark.parametrize("channel", ["queue", "object"])
def test_a_killed_worker_costs_one_attempt_and_the_answer_is_right(
    deployment: Deployment, slow_model: tuple[str, Inputs], channel: str
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    undisturbed = deployment.client.infer(name, inputs, channel=channel)
    assert undisturbed.figures["attempts"] == 1
    assert undisturbed.figures["calls_complete"] is True
    with killing_a_worker(deployment, run_id):
        answer = deployment.client.infer(name, inputs, run_id=run_id, channel=channel)
    assert np.array_equal(answer.outputs["y"], undisturbed.outputs["y"])
    assert answer.figures["attempts"] == 2
    assert answer.figures["calls_complete"] is False
    assert len(answer.figures["ranks"]) == 3
    assert leases(deployment) == []
    _assert_only_the_result_is_left(deployment, answer.run_id)


def test_a_run_that_was_handed_over_survives_a_killed_worker(
    deployment: Deployment, slow_model: tuple[str, Inputs]
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    with killing_a_worker(deployment, run_id):
        answer = deployment.client.infer(name, inputs, run_id=run_id, wait_s=0.5)
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 2
    _assert_only_the_result_is_left(deployment, answer.run_id)


def test_a_killed_coordinator_holds_its_lane_for_a_minute_at_the_most(
    deployment: Deployment, slow_model: tuple[str, Inputs]
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    with killing_a_worker(deployment, run_id, function="infer"), pytest.raises(CloudError, match="infer failed"):
        deployment.client.infer(name, inputs, run_id=run_id, deadline_s=600)
    held = [lease for lease in leases(deployment) if lease.run_id == run_id]
    assert len(held) == 1
    assert held[0].expires_at - time.time() <= LEASE_S + 2
    assert deployment.client.infer(name, inputs).status == "done"
    free(deployment, held[0])


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
    _assert_only_the_result_is_left(deployment, failure.value.run_id)


def test_workers_of_a_run_that_failed_leave_soon(deployment: Deployment, slow_model: tuple[str, Inputs]) -> None:
    """Nobody waits for the deadline: the survivors' invocations end, and their usage is in the bill."""
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    with killing_a_worker(deployment, run_id), pytest.raises(RunFailed) as failure:
        deployment.client.infer(name, inputs, run_id=run_id, channel="object", max_attempts=1)
    until = time.monotonic() + 20
    while len(deployment.client.bill(failure.value.run_id).usage.records) < 2 and time.monotonic() < until:
        time.sleep(0.25)
    assert len(deployment.client.bill(failure.value.run_id).usage.records) == 2


def _assert_only_the_result_is_left(deployment: Deployment, run_id: str) -> None:
    left = {key.rsplit("/", 1)[1] for key in keys_under(deployment.client, f"runs/{run_id}/")}
    assert left <= {"request.json", "record.json", "input.npz", "output.npz"}
    assert "record.json" in left


def test_two_killed_workers_cost_two_attempts(deployment: Deployment, slow_model: tuple[str, Inputs]) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    with killing_a_worker(deployment, run_id), killing_a_worker(deployment, run_id, attempt=2):
        answer = deployment.client.infer(name, inputs, run_id=run_id)
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 3
