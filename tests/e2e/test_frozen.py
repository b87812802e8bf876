"""A process that neither works nor dies: nobody tells of it, and its signs of life are missed."""

from __future__ import annotations

import signal
import time
import uuid
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Deployment
from tests.e2e.world import assert_only_the_result_is_left, killing_a_worker, leases

Inputs = dict[str, NDArray[Any]]
LEAVE_S = 60.0
FROZEN_S = 30.0


@pytest.mark.soak
@pytest.mark.parametrize(("function", "channel"), [("worker", "queue"), ("worker", "object"), ("infer", "queue")])
def test_a_frozen_process_costs_one_attempt_and_the_answer_is_right(
    deployment: Deployment, slow_model: tuple[str, Inputs], function: str, channel: str
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    started = time.monotonic()
    with killing_a_worker(deployment, run_id, function=function, after_s=1, how=signal.SIGSTOP) as frozen_at:
        answer = deployment.client.infer(name, inputs, run_id=run_id, channel=channel)
        took = time.monotonic() - started
    assert frozen_at
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 2
    # stall_s alone would have needed 120 s.
    assert took < 110
    _await_leaving(deployment, run_id)


@pytest.mark.soak
def test_a_driver_that_was_frozen_finds_that_its_workers_have_left(
    deployment: Deployment, slow_model: tuple[str, Inputs]
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    started = time.monotonic()
    with killing_a_worker(deployment, run_id, function="infer", after_s=1, how=signal.SIGSTOP, stopped_s=FROZEN_S):
        answer = deployment.client.infer(name, inputs, run_id=run_id)
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 2
    assert time.monotonic() - started < FROZEN_S + 80  # stall_s alone would have needed 120 s
    _await_leaving(deployment, run_id)


def _await_leaving(deployment: Deployment, run_id: str) -> None:
    """The process that goes on finds its run ended, and leaves nothing behind."""
    until = time.monotonic() + LEAVE_S
    while time.monotonic() < until:
        try:
            assert_only_the_result_is_left(deployment, run_id)
            assert leases(deployment) == []
            return
        except AssertionError:
            time.sleep(2)
    assert_only_the_result_is_left(deployment, run_id)
