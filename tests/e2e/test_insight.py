"""What a user sees of a stage and of a run: `fsd doctor`, `fsd logs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from client.doctor import examine
from client.logs import show
from tests.conftest import Deployment
from tests.e2e.world import await_logged


def test_the_doctor_finds_a_fresh_stage_healthy(deployment: Deployment) -> None:
    found = examine(deployment.client.stage)
    assert found.healthy, found.findings
    assert found.facts["largest_workers"] == {"queue": 16, "object": found.facts["quota"]}
    assert [lane["lane"] for lane in found.facts["lanes"]] == [0, 1]
    assert found.facts["versions"]["functions"]["numpy"] == found.facts["versions"]["here"]["numpy"] != ""
    assert found.facts["bucket"]["public_access_blocked"] is True


def test_the_logs_of_all_ranks_are_one_story(
    deployment: Deployment, registered_digits: Callable[[str, int], str], digits: dict[str, NDArray[Any]]
) -> None:
    run_id = deployment.client.infer(registered_digits("row", 3), digits).run_id
    lines = await_logged(deployment, lambda: deployment.client.logs(run_id), 7)
    told = [(line.fields.get("slot"), line.fields["event"]) for line in lines]
    assert told[:2] == [(0, "drive"), (0, "lane")]
    assert {(1, "start"), (2, "start"), (1, "end"), (2, "end"), (0, "end")} <= set(told)
    times = [line.fields["timestamp"] for line in lines]
    assert times == sorted(times)
    assert {line.fields["attempt"] for line in lines} == {1}
    assert all("\n" not in show(line) for line in lines)
