"""Requests that nobody waits for: answered at once, found again by their run id."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
