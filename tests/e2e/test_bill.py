"""The bill holds against an independent count, taken between the functions and the cloud."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from numpy.typing import NDArray

from client.bill import RunBill
from tests.conftest import Deployment
from tests.e2e.world import await_later_work

Register = Callable[[str, int], str]


@pytest.mark.parametrize(
    ("strategy", "workers", "channel"),
    [("row", 3, "queue"), ("column", 4, "object"), ("batch", 2, "queue"), ("serial", 1, "queue")],
)
def test_the_answer_counts_every_call_and_byte_that_the_proxy_saw(
    deployment: Deployment,
    registered_digits: Register,
    digits: dict[str, NDArray[Any]],
    strategy: str,
    workers: int,
    channel: str,
) -> None:
    assert deployment.proxy is not None
    name = registered_digits(strategy, workers)
    await_later_work(deployment)
    deployment.proxy.reset()
    answer = deployment.client.infer(name, digits, channel=channel)
    counted = _comparable(answer.figures["calls"])
    assert counted == _comparable(deployment.proxy.counts())
    assert counted["s3:GetObject"]["requests"] > 0
    final = _final_bill(deployment, answer.run_id).to_json()
    assert _comparable(final["calls"]) == counted
    assert final["invocations"] == workers
    in_steps = [count["requests"] for step in final["steps"] for count in step["calls"].values()]
    assert (0 < sum(in_steps) < sum(count["requests"] for count in counted.values())) == (workers > 1)
    for service in ("s3", "sns", "sqs"):
        assert final["usd"][service] == pytest.approx(answer.figures["usd"][service])
    assert final["usd"]["lambda"] >= answer.figures["usd"]["lambda"] * 0.9


def _comparable(calls: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(count) for name, count in calls.items()}


def _final_bill(deployment: Deployment, run_id: str) -> RunBill:
    deadline = time.monotonic() + 60
    while True:
        bill = deployment.client.bill(run_id)
        if bill.final or time.monotonic() > deadline:
            return bill
        time.sleep(0.2)
