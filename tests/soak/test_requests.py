"""Many clients at once: every answer is right, and no more lanes are leased than there are."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaos.cases import Case, Model, register_cases
from client.api import Client
from client.verify_compare import compare
from runs.lease import held_lanes
from runs.objects import Objects
from tests.conftest import Deployment
from tests.e2e.world import keys_under, leases

LANES = 2
FOUR = (
    (Model("digits-mlp", 20), "row", 2),
    (Model("digits-mlp", 7), "column", 3),
    (Model("graphchallenge-1024", 60, {"layers": 3}), "row", 4),
    (Model("graphchallenge-1024", 25, {"layers": 2}), "batch", 3),
)


@pytest.fixture(scope="module")
def cases(deployment: Deployment) -> list[Case]:
    """Four models on two, three and four workers."""
    return [
        case
        for number, (model, strategy, workers) in enumerate(FOUR)
        for case in register_cases(deployment.client, [model], [strategy], [workers], prefix=f"soak-{number}-")
    ]


@contextlib.contextmanager
def watching(deployment: Deployment) -> Iterator[list[int]]:
    """How many lanes were leased, whenever that was looked at."""
    objects = Objects(deployment.client.stage.s3, deployment.client.stage.bucket)
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            # Lanes that the stack does not have would be held under numbers past its own.
            seen.append(len(held_lanes(objects, 4 * LANES)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


@pytest.mark.soak
@pytest.mark.parametrize(("requests", "clients"), [(200, 16)])
def test_requests_from_many_clients_are_all_right(
    deployment: Deployment, cases: list[Case], requests: int, clients: int
) -> None:
    def ask(number: int) -> tuple[str, tuple[str, ...]]:
        case = cases[number % len(cases)]
        channel = ("queue", "object")[number // len(cases) % 2]
        answer = Client(deployment.client.stage).infer(
            case.name, case.inputs, channel=channel, lane_wait_s=800, start_s=300, deadline_s=900, wait_s=800
        )
        return answer.run_id, compare(case.expected, answer.outputs).problems

    with watching(deployment) as leased, ThreadPoolExecutor(clients) as pool:
        ended = list(pool.map(ask, range(requests)))
    assert [problems for _, problems in ended if problems] == []
    assert len({run_id for run_id, _ in ended}) == requests
    assert 1 <= max(leased) <= LANES
    assert leases(deployment) == []
    left = {key for run_id, _ in ended for key in keys_under(deployment.client, f"runs/{run_id}/")}
    assert {key.rsplit("/", 1)[1] for key in left} <= {"request.json", "record.json", "input.npz", "output.npz"}
