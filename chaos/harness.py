"""Sends requests among faults, several at once, and judges how each of them ends."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from chaos.cases import Case
from chaos.defects import DEFECTS
from chaos.faults import KINDS, Fault
from chaos.leaks import invocations_left, leases_left, messages_left, objects_left
from chaos.plan import MAX_KILLING, plan_run, run_id
from chaos.stage import ChaosStage
from client.api import Client, RunFailed
from client.errors import ClientError
from client.verify_compare import compare
from runs.request import CHANNELS

T = TypeVar("T")
End = Literal["right", "typed_error", "wrong", "hang"]

# On a machine whose slowest undisturbed run, cold start included, takes USUAL_S; more on slower ones.
LIMITS = {"deadline_s": 100.0, "wait_s": 100.0, "start_s": 15.0, "stall_s": 4.0}
LANE_WAIT_S = 60.0
MAX_ATTEMPTS = 5
USUAL_S = 5.0
MAX_SCALE = 8.0
# What a run may take beyond its deadline before it counts as hanging: its clean-up, and a busy machine.
GRACE_S = 30.0
# Self-test: the request has no deadlines, and the harness less patience.
NO_LIMITS = {"deadline_s": 86_400.0, "wait_s": 800.0, "start_s": 800.0, "stall_s": 800.0}
NO_LIMITS_PATIENCE_S = 15.0
# How long what runs leave behind has to go away by itself.
SETTLE_S = 30.0


@dataclass(frozen=True)
class Series:
    """What to run.

    defect: a safeguard to leave out (chaos.defects), or nothing.
    scale:  of all limits: how much slower than usual this machine is.
    """

    runs: int
    seed: int
    defect: str = ""
    scale: float = 1.0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of its faults: all, or those that show the defect."""
        return DEFECTS.get(self.defect, tuple(KINDS))

    @property
    def patience_s(self) -> float:
        """After so long a run that has not ended hangs."""
        if self.defect == "deadlines":
            return NO_LIMITS_PATIENCE_S
        return LIMITS["deadline_s"] * self.scale + GRACE_S

    @property
    def fields(self) -> dict[str, Any]:
        """Of every request."""
        scaled = {name: limit * self.scale for name, limit in LIMITS.items()}
        limits = NO_LIMITS if self.defect == "deadlines" else scaled
        return {**limits, "lane_wait_s": LANE_WAIT_S, "max_attempts": MAX_ATTEMPTS}


@dataclass(frozen=True)
class RunEnd:
    """How one run ended.

    lane:    of a run that used a queue's lane; -1 where that is not known.
    detail:  what went wrong, in one line.
    """

    number: int
    run_id: str
    end: End
    planned: tuple[Fault, ...]
    seconds: float
    ended_at: float
    attempts: int = 0
    detail: str = ""

    @property
    def bearable(self) -> bool:
        """Whether it had to end in the right answer."""
        return sum(fault.killing for fault in self.planned) <= MAX_KILLING


@dataclass(frozen=True)
class Result:
    """A series that has ended: each run, the faults that were injected by run, and what was left behind."""

    ends: tuple[RunEnd, ...]
    injected: tuple[tuple[str, str], ...] = field(repr=False)
    leaks: tuple[str, ...] = ()


def measure_scale(stage: ChaosStage, cases: Sequence[Case]) -> float:
    """How much slower than usual this machine is: every case once, undisturbed; their functions are warm after that."""
    seconds: list[float] = []

    def work(case: Case) -> None:
        started = time.monotonic()
        Client(stage.stage).infer(case.name, case.inputs, lane_wait_s=LANE_WAIT_S)
        seconds.append(time.monotonic() - started)

    _at_once(stage.lanes, cases, work)
    return min(MAX_SCALE, max(1.0, max(seconds, default=0.0) / USUAL_S))


def run_series(stage: ChaosStage, cases: Sequence[Case], series: Series, *, told: Callable[[RunEnd], None]) -> Result:
    """Run a series, as many runs at once as there are lanes."""
    ends: list[RunEnd] = []

    def work(number: int) -> None:
        ends.append(_run(stage, cases, series, number))
        told(ends[-1])

    _at_once(stage.lanes, range(series.runs), work)
    leaks = () if series.defect else tuple(_leaks(stage, ends))
    notes = [note for note in stage.desk.notes() if note["what"] == "fault"]
    return Result(tuple(ends), tuple((note["run_id"], note["kind"]) for note in notes), leaks)


def _at_once(lanes: int, items: Iterable[T], work: Callable[[T], None]) -> None:
    with ThreadPoolExecutor(lanes) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


def _run(stage: ChaosStage, cases: Sequence[Case], series: Series, number: int) -> RunEnd:
    """One run, in a thread that may be left behind."""
    case = cases[number % len(cases)]
    faults = plan_run(series.seed, number, case.workers, series.kinds)
    name = run_id(series.seed, number)
    stage.desk.give(name, faults)
    # Nothing is late on S3: an object is there from its PUT on.
    late = any(fault.kind == "late" for fault in faults)
    channel = "queue" if late else CHANNELS[number // len(cases) % len(CHANNELS)]
    answers: queue.SimpleQueue[tuple[End, int, str]] = queue.SimpleQueue()

    def ask() -> None:
        answers.put(_ask(stage, case, series, name, channel))

    started = time.monotonic()
    threading.Thread(target=ask, daemon=True).start()
    try:
        end, attempts, detail = answers.get(timeout=series.patience_s)
    except queue.Empty:
        end, attempts, detail = "hang", 0, f"no answer within {series.patience_s:g} s"
    seconds = time.monotonic() - started
    return RunEnd(number, name, end, faults, seconds, time.time(), attempts, f"{case.name} {channel}: {detail}")


def _ask(stage: ChaosStage, case: Case, series: Series, name: str, channel: str) -> tuple[End, int, str]:
    try:
        answer = Client(stage.stage).infer(case.name, case.inputs, run_id=name, channel=channel, **series.fields)
    except RunFailed as failure:
        return "typed_error", 0, f"{failure.error['type']}: {failure}"
    except ClientError as error:
        return "typed_error", 0, f"{type(error).__name__}: {error}"
    difference = compare(case.expected, answer.outputs)
    attempts = int(answer.figures["attempts"])
    return ("right" if difference.ok else "wrong"), attempts, "; ".join(difference.problems)


def _leaks(stage: ChaosStage, ends: Sequence[RunEnd]) -> list[str]:
    """What is still there when everything had time to go."""
    until = time.monotonic() + SETTLE_S
    while (left := _left(stage)) and time.monotonic() < until:
        time.sleep(1.0)
    last = max((end.ended_at for end in ends), default=0.0)
    return left + messages_left(stage, dict.fromkeys(range(stage.lanes), last))


def _left(stage: ChaosStage) -> list[str]:
    return [*objects_left(stage), *leases_left(stage), *invocations_left(stage.desk.notes())]
