"""What happens to a run beside its answer: warm starts, hand-over, lost connections, dead workers, small quotas."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.api import Client, RunFailed
from client.cloud import EmbeddedCloud
from client.target import find_stage
from runs.errors import StartFailed
from runs.failures import FailureDesk
from tests.conftest import Deployment, deploy
from tests.e2e.world import await_later_work, await_usage, keys_under, killing_a_worker, leases
from zoo.registry import get_card

Digits = dict[str, NDArray[Any]]
Register = Callable[[str, int], str]


def test_from_the_second_request_on_nearly_no_rank_loads_a_shard(
    deployment: Deployment, registered_digits: Register, digits: Digits
) -> None:
    assert deployment.proxy is not None
    name = registered_digits("row", 8)
    deployment.client.infer(name, digits)
    await_later_work(deployment)
    for _ in range(4):
        deployment.proxy.reset()
        answer = deployment.client.infer(name, digits)
        loaded = [rank["rank"] for rank in answer.figures["ranks"] if rank["shard_loads"]]
        assert len(loaded) <= 1
        # Rank 0 reads the model's record and its lane's lease. On a busy machine a start is sent again, and its copy
        # reads who has the slot. In a run of seconds, rank 0 looks at claims and its term, too.
        reads = deployment.proxy.counts()["s3:GetObject"]["requests"]
        assert reads < len(answer.figures["ranks"]) + 4 * len(loaded) or answer.figures["seconds"] > 3


def test_a_new_version_is_loaded_again(deployment: Deployment) -> None:
    card = get_card("graphchallenge-1024")
    x = {"x": np.ones((3, 1024), np.float32)}
    answers = []
    for layers in ("2", "4"):
        deployment.client.register(card.name, name="renewed", strategy="row", workers=2, options={"layers": layers})
        answers.append(deployment.client.infer("renewed", x))
    assert all(rank["shard_loads"] for rank in answers[1].figures["ranks"])
    assert answers[0].figures["version"] != answers[1].figures["version"]
    again = deployment.client.infer("renewed", x)
    assert not any(rank["shard_loads"] for rank in again.figures["ranks"])
    deployment.client.roll_back("renewed")
    assert deployment.client.infer("renewed", x).figures["version"] == answers[0].figures["version"]


@pytest.mark.parametrize("wait_s", [0, 0.05, 1])
def test_a_run_that_outlives_wait_s_goes_on(
    deployment: Deployment, slow_model: tuple[str, Digits], wait_s: float
) -> None:
    name, inputs = slow_model
    expected = deployment.client.infer(name, inputs).outputs["y"]
    started = time.monotonic()
    answer = deployment.client.infer(name, inputs, wait=False, wait_s=wait_s)
    assert answer.status == "running"
    assert time.monotonic() - started < wait_s + 5
    final = deployment.client.result(answer.run_id, wait=True)
    assert np.array_equal(final.outputs["y"], expected)
    assert len(final.figures["ranks"]) == 3


def test_a_run_longer_than_the_clients_socket_timeout_is_one_run_with_one_bill(
    deployment: Deployment, slow_model: tuple[str, Digits]
) -> None:
    name, inputs = slow_model
    impatient = Client(find_stage(cloud=deployment.cloud, environment={}, read_timeout_s=0.5))
    before = _run_ids(impatient)
    answer = impatient.infer(name, inputs)
    assert answer.status == "done"
    assert answer.figures["seconds"] > 0.5
    assert _run_ids(impatient) - before == {answer.run_id}
    assert len(await_usage(deployment, answer.run_id, 3)) == 3


def test_a_killed_worker_of_the_only_attempt_is_a_typed_error_within_15_s_and_the_next_request_works(
    deployment: Deployment, slow_model: tuple[str, Digits]
) -> None:
    name, inputs = slow_model
    expected = deployment.client.infer(name, inputs).outputs["y"]
    for channel in ("queue", "object"):
        run_id = uuid.uuid4().hex
        with killing_a_worker(deployment, run_id) as killed_at, pytest.raises(RunFailed) as failure:
            deployment.client.infer(name, inputs, run_id=run_id, channel=channel, max_attempts=1)
        assert failure.value.error["type"] == "worker_failed"
        assert len(failure.value.error["request_ids"]) == 2
        assert failure.value.error["retry"] is True
        assert time.monotonic() - killed_at[0] < 15
        assert np.array_equal(deployment.client.infer(name, inputs, channel=channel).outputs["y"], expected)
    assert leases(deployment) == []


def test_nothing_is_left_behind(deployment: Deployment, slow_model: tuple[str, Digits]) -> None:
    name, inputs = slow_model
    for channel in ("queue", "object"):
        run_id = deployment.client.infer(name, inputs, channel=channel).run_id
        assert keys_under(deployment.client, f"runs/{run_id}/") <= {
            f"runs/{run_id}/{file}" for file in ("request.json", "record.json", "output.npz")
        }
    assert leases(deployment) == []


def test_three_runs_at_once_over_two_lanes_are_all_right(
    deployment: Deployment, registered_digits: Register, digits: Digits, digits_expected: NDArray[np.float32]
) -> None:
    names = [registered_digits(strategy, 3) for strategy in ("row", "column", "batch")]
    answers: dict[str, NDArray[Any]] = {}

    def ask(name: str) -> None:
        answers[name] = deployment.client.infer(name, digits, lane_wait_s=60).outputs["y"]

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(names)
    for y in answers.values():
        assert np.abs(y - digits_expected).max() <= 1e-5


def test_a_quota_too_small_for_the_ranks_is_one_line_and_leaves_nothing(
    tmp_path: Path, stack_package: Path, digits: Digits
) -> None:
    cloud = EmbeddedCloud(tmp_path / "cloud")
    try:
        cloud.up(environment={"LAMBDA_ACCOUNT_CONCURRENCY": "4"})
        small = deploy(cloud, stack_package)
        small.client.register("digits-mlp", name="wide", strategy="row", workers=8)
        started = time.monotonic()
        with pytest.raises(RunFailed, match=r"needed 8 .*available 4") as failure:
            small.client.infer("wide", digits)
        assert time.monotonic() - started < 15
        assert failure.value.error["type"] == "quota_too_small"
        assert "\n" not in str(failure.value)
        assert leases(small) == []
        small.client.register("digits-mlp", name="narrow", strategy="row", workers=3)
        assert small.client.infer("narrow", digits).status == "done"
    finally:
        cloud.down()


def test_a_worker_that_never_starts_is_one_line_with_needed_and_got() -> None:
    """The quota shrinks after it was read: Lambda's own word that the event was throttled ends the run."""
    desk = FailureDesk("0" * 32, 1, "key")
    desk.too_few = lambda cause: StartFailed(f"needed 8 slots, got 5; quota 10; {cause}")
    notice = {
        "requestContext": {"condition": "EventAgeExceeded"},
        "requestPayload": {"run_id": "0" * 32, "attempt": 1, "slot": 6, "mac_key": "key"},
        "responsePayload": {"errorType": "TooManyRequestsException", "errorMessage": "Rate Exceeded"},
    }
    with pytest.raises(StartFailed, match="needed 8 slots, got 5; quota 10; slot 6"):
        desk.receive(json.dumps(notice))


def _run_ids(client: Client) -> set[str]:
    return {key.split("/")[1] for key in keys_under(client, "runs/")}
