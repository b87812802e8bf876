"""The death of rank 0, and a run's end by request: the right answer or a typed end, and nothing left."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.api import RunFailed
from client.delivery import invoke
from client.errors import UsageError
from client.target import Stage
from runs.lease import LaneTable
from runs.objects import Objects
from runs.tenure import Tenures
from tests.conftest import Deployment
from tests.e2e.world import assert_only_the_result_is_left, await_queued, keys_under, killing_a_worker, leases, queued

Inputs = dict[str, NDArray[Any]]


def test_fsd_infer_sends_a_request_again_whose_rank_0_was_killed(
    deployment: Deployment, slow_model: tuple[str, Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first invocation, which is all that a plain `sls invoke` makes, ends in Lambda's typed error."""
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    causes: list[str] = []

    def recording(stage: Stage, function: str, event: Any) -> Any:
        answer, cause = invoke(stage, function, event)
        causes.append(cause)
        return answer, cause

    monkeypatch.setattr("client.delivery.invoke", recording)
    with killing_a_worker(deployment, run_id, function="infer"):
        answer = deployment.client.infer(name, inputs, run_id=run_id)
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 2
    assert len(causes) == 2
    assert causes[0].partition(":")[0].endswith(("Error", "Unhandled"))
    assert leases(deployment) == []
    assert_only_the_result_is_left(deployment, run_id)


def test_lambda_delivers_an_asynchronous_request_again_whose_rank_0_was_killed(
    deployment: Deployment, slow_model: tuple[str, Inputs]
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    with killing_a_worker(deployment, run_id, function="infer"):
        answer = deployment.client.infer(name, inputs, run_id=run_id, **{"async": True})
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 2
    assert leases(deployment) == []
    assert_only_the_result_is_left(deployment, run_id)


@pytest.mark.parametrize("channel", ["queue", "object"])
def test_a_cancelled_run_ends_within_seconds_and_leaves_nothing(
    deployment: Deployment, slow_model: tuple[str, Inputs], channel: str
) -> None:
    name, run_id = slow_model[0], uuid.uuid4().hex
    inputs = {"x": np.concatenate([slow_model[1]["x"]] * 5)}
    before = queued(deployment)
    ended: list[dict[str, Any]] = []

    def ask() -> None:
        with pytest.raises(RunFailed) as failure:
            deployment.client.infer(name, inputs, run_id=run_id, channel=channel)
        ended.append(failure.value.error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not keys_under(deployment.client, f"runs/{run_id}/claims/"):
        time.sleep(0.05)
    asked_at = time.monotonic()
    assert deployment.client.cancel(run_id)["status"] == "cancelled"
    thread.join()
    assert time.monotonic() - asked_at < 20
    assert ended[0]["type"] == "cancelled"
    with pytest.raises(RunFailed, match="cancelled"):
        deployment.client.result(run_id)
    assert leases(deployment) == []
    assert_only_the_result_is_left(deployment, run_id)
    assert await_queued(deployment, before) <= before


def test_a_run_that_has_ended_or_never_was_cannot_be_cancelled(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: Inputs
) -> None:
    run_id = deployment.client.infer(registered_digits("row", 2), digits).run_id
    assert deployment.client.cancel(run_id)["status"] == "done"
    with pytest.raises(UsageError, match="not known"):
        deployment.client.cancel("0" * 32)


def test_an_asynchronous_run_waits_for_a_lane_in_a_queue_not_in_a_function(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: Inputs
) -> None:
    name, run_id = registered_digits("row", 3), uuid.uuid4().hex
    taken = take_all_lanes(deployment)
    deployment.client.infer(name, digits, run_id=run_id, wait=False, **{"async": True})
    tenures = Tenures(Objects(deployment.client.stage.s3, deployment.client.stage.bucket), run_id)
    while (tenure := tenures.current()) is None or (tenure.term, tenure.state) < (2, "handed"):
        time.sleep(0.2)
    assert deployment.client.result(run_id).status == "running"
    for give_back in taken:
        give_back()
    answer = deployment.client.result(run_id, wait=True)
    assert answer.status == "done"
    assert answer.figures["attempts"] == 1
    assert answer.figures["calls"]["sqs:SendMessage"]["requests"] >= 1
    assert_only_the_result_is_left(deployment, run_id)


def take_all_lanes(deployment: Deployment) -> list[Callable[[], object]]:
    """Lease every lane to nobody; what gives each of them back."""
    lanes = LaneTable(Objects(deployment.client.stage.s3, deployment.client.stage.bucket), 2)
    held = [lanes.acquire(uuid.uuid4().hex, 300, 5) for _ in range(2)]
    return [lambda lease=lease: lanes.release(lease) for lease in held]  # type: ignore[misc]
