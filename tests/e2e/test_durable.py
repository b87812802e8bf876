"""Requests that nobody waits for: answered at once, found again by their run id."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.api import RunFailed
from client.errors import UsageError
from tests.conftest import Deployment
from tests.e2e.world import keys_under, leases

Inputs = dict[str, NDArray[Any]]


def test_an_asynchronous_request_sent_twice_is_one_run(
    deployment: Deployment,
    registered_digits: Callable[[str, int], str],
    digits: Inputs,
    digits_expected: NDArray[np.float32],
) -> None:
    name, run_id = registered_digits("row", 3), uuid.uuid4().hex
    for _ in range(2):
        answer = deployment.client.infer(name, digits, run_id=run_id, wait=False, **{"async": True})
        assert answer.run_id == run_id
    final = deployment.client.result(run_id, wait=True)
    assert np.abs(final.outputs["y"] - digits_expected).max() <= 1e-5
    assert final.figures["attempts"] == 1
    assert len(final.figures["ranks"]) == 3
    assert leases(deployment) == []
    left = keys_under(deployment.client, f"runs/{run_id}/")
    assert left == {f"runs/{run_id}/request.json", f"runs/{run_id}/record.json"}


def test_fsd_infer_async_prints_the_run_id_that_fsd_result_takes(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: Inputs, tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", **digits)  # type: ignore[arg-type]
    name = registered_digits("row", 3)
    asked = deployment.run("fsd", "infer", name, "--input", str(tmp_path / "x.npz"), "--async", "--json")
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["status"] == "running"
    found = deployment.run("fsd", "result", answer["run_id"], "--wait", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["status"] == "done"


def test_one_result_is_stored_per_idempotency_key(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: Inputs
) -> None:
    name, key = registered_digits("row", 2), f"order {uuid.uuid4()}"
    first, second = (deployment.client.infer(name, digits, idempotency_key=key) for _ in range(2))
    assert first.figures == second.figures
    with pytest.raises(RunFailed, match="another request"):
        deployment.client.infer(name, {"x": digits["x"][:1]}, idempotency_key=key)


def test_a_run_that_failed_leaves_a_dead_letter_and_can_be_retried_once(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: Inputs
) -> None:
    client, name, run_id = deployment.client, registered_digits("row", 2), uuid.uuid4().hex
    with pytest.raises(RunFailed, match="no hello within start_s=0"):
        client.infer(name, digits, run_id=run_id, start_s=0, max_attempts=1)
    assert run_id in [letter["run_id"] for letter in client.dead_letters()]
    with pytest.raises(RunFailed, match="no hello"):
        client.result(run_id)
    retried = [_error_of(lambda: client.retry(run_id)) for _ in range(2)]
    assert retried[0] == retried[1]
    assert retried[0][0] != run_id
    done = client.infer(name, digits)
    with pytest.raises(UsageError, match="it is done"):
        client.retry(done.run_id)
    left = {letter["run_id"] for letter in client.dead_letters()}
    assert left & {run_id, retried[0][0]} == {retried[0][0]}


@pytest.mark.parametrize("limit", [{"max_usd": 1e-9}, {"deadline_s": 1e-4}])
def test_a_request_whose_limits_cannot_hold_is_refused_before_it_starts(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: Inputs, limit: dict[str, Any]
) -> None:
    run_id = uuid.uuid4().hex
    with pytest.raises(RunFailed, match="at least") as failure:
        deployment.client.infer(registered_digits("row", 2), digits, run_id=run_id, **limit)
    assert failure.value.error["type"] == "budget_too_small"
    assert keys_under(deployment.client, f"runs/{run_id}/") == set()


def _error_of(call: Callable[[], object]) -> tuple[str, str]:
    """Run and error type of a call that must fail."""
    with pytest.raises(RunFailed) as failure:
        call()
    return failure.value.run_id, str(failure.value.error["type"])
