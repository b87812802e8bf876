"""What rank 0 makes of a worker's end."""

from __future__ import annotations

import json

import pytest

from engine import KernelError
from runs.driver import Driver
from runs.errors import NoFreeSlots, ProgramFailed, WorkerFailed
from runs.failures import FailureDesk
from runs.faults import Fault, SlotFailed, fault_of, parse_failure, parse_fault
from runs.progress import Progress, dump_progress, load_progress
from runs.request import DEFAULT_START_S, Request
from runs.service import Invocation

RUN = "0" * 32


def notice(attempt: int, kind: str = "Runtime.ExitError", message: str = "signal: killed") -> str:
    """Lambda's record of a failed invocation, as the lane's queue gets it."""
    return json.dumps(
        {
            "requestContext": {"requestId": "r-7", "condition": "RetriesExhausted"},
            "requestPayload": {"run_id": RUN, "attempt": attempt, "slot": 2, "lane": 0},
            "responsePayload": {"errorType": kind, "errorMessage": message},
        }
    )


def driver(max_attempts: int, progress: Progress) -> Driver:
    """As far as the decision goes, a driver is its request and its progress."""
    request = Request("m", max_attempts=max_attempts)
    return Driver(None, None, request, 0.0, Invocation("r", 128, 0.0), progress, None, 0.0, lambda _attempt: None)  # type: ignore[arg-type]


def test_a_fault_survives_the_reason_of_an_abort() -> None:
    fault = fault_of(3, KernelError("step 5: two\nlines"), "r-1", 5)
    assert parse_fault(fault.to_text(), 3) == fault
    assert fault == Fault(3, "KernelError", "step 5: two lines", "r-1", 5)


def test_a_reason_that_is_no_fault_is_one_of_its_sender() -> None:
    assert parse_fault("gone", 4) == Fault(4, "", "gone")
    assert parse_fault('{"slot": 1, "colour": 2}', 4).slot == 4


def test_lambdas_notice_names_slot_cause_and_request() -> None:
    found = parse_failure(notice(1))
    assert found is not None
    assert found.fault == Fault(2, "Runtime.ExitError", "signal: killed", "r-7")


def test_only_notices_of_the_attempt_under_way_count() -> None:
    desk = FailureDesk(RUN, 2, "")
    desk.receive(notice(1))
    with pytest.raises(SlotFailed, match=r"slot 2: Runtime\.ExitError"):
        desk.receive(notice(2))


def test_a_killed_worker_is_worth_every_attempt() -> None:
    progress = Progress()
    for _ in range(2):
        driver(3, progress)._check_mendable(WorkerFailed("worker failed: slot 2: Runtime.ExitError"))
        progress.begin_attempt()
    with pytest.raises(WorkerFailed):
        driver(3, progress)._check_mendable(WorkerFailed("worker failed: slot 2: Runtime.ExitError"))
    assert progress.attempt == 3


def test_starts_that_are_refused_cost_no_attempt_while_there_is_time_to_start() -> None:
    progress = Progress()
    for _ in range(6):
        driver(3, progress)._check_mendable(NoFreeSlots("needed 4 slots, got 2"))
        progress.begin_attempt()
    assert load_progress(dump_progress(progress)).refused == 6
    driver(3, progress)._check_mendable(WorkerFailed("slot 2"))
    progress.begin_attempt()
    progress.started_at -= DEFAULT_START_S
    driver(3, progress)._check_mendable(NoFreeSlots("needed 4 slots, got 2"))
    progress.begin_attempt()
    with pytest.raises(NoFreeSlots):
        driver(3, progress)._check_mendable(NoFreeSlots("needed 4 slots, got 2"))


def test_a_program_that_fails_twice_in_the_same_way_is_not_tried_a_third_time() -> None:
    progress = Progress()
    driver(5, progress)._check_mendable(WorkerFailed("slot 2", lasting="KernelError: step 5"))
    progress.begin_attempt()
    with pytest.raises(ProgramFailed, match="the same in 2 attempts") as error:
        driver(5, progress)._check_mendable(WorkerFailed("slot 1", lasting="KernelError: step 5"))
    assert error.value.to_json()["retry"] is False


def test_a_new_attempt_keeps_key_and_start_and_forgets_the_rest() -> None:
    progress = Progress(started_at=5.0, launched=True, hellos={1: {"held": []}}, slots=(0, 1), inbox=b"x")
    key = progress.mac_key
    progress.begin_attempt()
    assert (progress.attempt, progress.mac_key, progress.started_at) == (2, key, 5.0)
    assert (progress.launched, progress.hellos, progress.slots, progress.inbox) == (False, {}, (), b"")


def test_progress_survives_a_hand_over() -> None:
    progress = Progress(hellos={2: {"held": ["a"], "request_id": "r"}}, causes=["KernelError: x"], abandoned=True)
    progress.begin_attempt()
    progress.hellos[1] = {"held": [], "request_id": "s"}
    assert load_progress(dump_progress(progress)) == progress
