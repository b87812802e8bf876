"""Nothing is left of a run but request, result and record, however it ended: counted, not assumed."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from numpy.typing import NDArray

from client.api import RunFailed
from tests.conftest import Deployment
from tests.e2e.world import assert_only_the_result_is_left, await_queued, await_usage, keys_under, leases, queued

Inputs = dict[str, NDArray[Any]]
WORKERS = 2


@pytest.mark.parametrize("channel", ["queue", "object"])
@pytest.mark.parametrize("way", ["done", "failed", "cancelled"])
def test_however_a_run_ends_it_leaves_no_message_object_lane_or_process(
    deployment: Deployment, slow_model: tuple[str, Inputs], way: str, channel: str
) -> None:
    before, run_id = queued(deployment), uuid.uuid4().hex
    END[way](deployment, slow_model, run_id, channel)
    assert leases(deployment) == []
    assert_only_the_result_is_left(deployment, run_id)
    assert len(await_usage(deployment, run_id, WORKERS, workers_only=True)) == WORKERS
    assert await_queued(deployment, before) <= before


def _done(deployment: Deployment, model: tuple[str, Inputs], run_id: str, channel: str) -> None:
    deployment.client.infer(*model, run_id=run_id, channel=channel)


def _failed(deployment: Deployment, model: tuple[str, Inputs], run_id: str, channel: str) -> None:
    with pytest.raises(RunFailed, match="deadline"):
        deployment.client.infer(*model, run_id=run_id, channel=channel, deadline_s=0.6)


def _cancelled(deployment: Deployment, model: tuple[str, Inputs], run_id: str, channel: str) -> None:
    deployment.client.infer(*model, run_id=run_id, channel=channel, wait=False, wait_s=0)
    while not keys_under(deployment.client, f"runs/{run_id}/claims/"):
        time.sleep(0.02)
    assert deployment.client.cancel(run_id)["status"] == "cancelled"


END: dict[str, Callable[[Deployment, tuple[str, Inputs], str, str], None]] = {
    "done": _done,
    "failed": _failed,
    "cancelled": _cancelled,
}


def test_sixteen_requests_at_once_for_models_of_several_sizes_are_all_right(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: Inputs, digits_expected: NDArray[Any]
) -> None:
    """Over two lanes: those that wait in a function, and those that stand in line."""
    names = [registered_digits(strategy, workers) for strategy in ("row", "batch") for workers in (2, 3)]
    errors: dict[int, float] = {}

    def ask(number: int) -> None:
        fields = {"async": True} if number % 2 else {"lane_wait_s": 80}
        answer = deployment.client.infer(names[number % 4], digits, **fields)
        errors[number] = float(abs(answer.outputs["y"] - digits_expected).max())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(errors) == list(range(16))
    assert max(errors.values()) <= 1e-5
    assert leases(deployment) == []
