"""Sends requests among faults, several at once, and judges how each of them ends."""

from __future__ import annotations

import itertools
import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from chaos.cases import Case
from chaos.defects import DEFECTS
from chaos.errors import Interrupted
from chaos.faults import KINDS, Fault
from chaos.leaks import invocations_left, leases_left, listened_until, messages_left, objects_left
from chaos.plan import MAX_KILLING, plan_run, run_id
from chaos.stage import ChaosStage
from client.api import Client, RunFailed
from client.verify_compare import compare
from runs.request import CHANNELS

S = TypeVar("S")
T = TypeVar("T")
End = Literal["right", "typed_error", "wrong", "hang"]

# On a machine where an undisturbed run in warm functions, one of as many as the series has at once, takes USUAL_S; more
# on slower ones: nothing may count as stalled that takes no longer than a whole run.
LIMITS = {"deadline_s": 100.0, "wait_s": 100.0, "start_s": 15.0, "stall_s": 4.0}
LANE_WAIT_S = 60.0
MAX_ATTEMPTS = 6
USUAL_S = 4.0
MAX_SCALE = 8.0
# How often those who wait for a run look whether the series is interrupted.
LOOK_S = 0.5
# What a run may take beyond its deadline before it counts as hanging: its clean-up, and a busy machine.
GRACE_S = 30.0
# Self-test: the request has no deadlines, and the harness less patience.
NO_LIMITS = {"deadline_s": 86_400.0, "wait_s": 800.0, "start_s": 800.0, "stall_s": 800.0}
NO_LIMITS_PATIENCE_S = 15.0
# How long what runs leave behind has to go away by itself: a lane in which a killed process left messages is emptied
# 25 s later, or 50 s where it was in use then.
SETTLE_S = 75.0


@dataclass(frozen=True)
class Series:
    """What to run.

    runs:   how many, from number `first` on.
    defect: a safeguard to leave out (chaos.defects), or nothing.
    scale:  of all limits: how much slower than usual this machine is.
    """

    runs: int
    seed: int
    defect: str = ""
    scale: float = 1.0
    first: int = 0

    @property
    def numbers(self) -> range:
        """Of its runs."""
        return range(self.first, self.first + self.runs)

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

    case, channel: what was asked.
    detail:        what went wrong, in one line.
    """

    number: int
    run_id: str
    end: End
    planned: tuple[Fault, ...]
    seconds: float
    attempts: int = 0
    detail: str = ""
    case: str = ""
    channel: str = ""

    @property
    def bearable(self) -> bool:
        """Whether it had to end in the right answer."""
        return sum(fault.killing for fault in self.planned) <= MAX_KILLING


@dataclass(frozen=True)
class Result:
    """What came of a series: each run, the faults that were injected by run, and what was left behind.

    interrupted: it did not come to its end; what was left behind is not known then.
    """

    ends: tuple[RunEnd, ...]
    injected: tuple[tuple[str, str], ...] = field(repr=False)
    leaks: tuple[str, ...] = ()
    interrupted: bool = False


def measure_scale(stage: ChaosStage, cases: Sequence[Case]) -> float:
    """How much slower than usual this machine is, by every case's second run, undisturbed: functions are warm then."""

    def work(case: Case) -> float:
        started = time.monotonic()
        Client(stage.stage).infer(case.name, case.inputs, lane_wait_s=LANE_WAIT_S)
        return time.monotonic() - started

    for _ in _at_once(stage.lanes, cases, work):
        pass
    return min(MAX_SCALE, max(1.0, statistics.median(_at_once(stage.lanes, cases, work)) / USUAL_S))


def run_series(stage: ChaosStage, cases: Sequence[Case], series: Series, *, told: Callable[[RunEnd], None]) -> Result:
    """Run a series, as many runs at once as there are lanes; Interrupted, raised in `told` or by a signal, ends it."""
    ends: list[RunEnd] = []
    stop = threading.Event()
    try:
        for end in _at_once(stage.lanes, series.numbers, lambda number: _run(stage, cases, series, number, stop)):
            ends.append(end)
            told(end)
        leaks = () if series.defect else tuple(_leaks(stage))
    except Interrupted:
        return Result(tuple(ends), _injected(stage, ends), interrupted=True)
    finally:
        stop.set()
    return Result(tuple(ends), _injected(stage, ends), leaks)


def _injected(stage: ChaosStage, ends: Sequence[RunEnd]) -> tuple[tuple[str, str], ...]:
    """The faults that were injected into the runs that have ended."""
    ours = {end.run_id for end in ends}
    return tuple((note["run_id"], note["kind"]) for note in stage.desk.notes() if _is_fault_of(note, ours))


def _is_fault_of(note: dict[str, Any], runs: set[str]) -> bool:
    return note["what"] == "fault" and note["run_id"] in runs


def _at_once(lanes: int, items: Iterable[S], work: Callable[[S], T]) -> Iterator[T]:
    """What work says of each item, as it ends; `lanes` at a time. Who is left behind does not hold the caller up."""
    pool, left = ThreadPoolExecutor(lanes), iter(items)
    under_way: set[Future[T]] = {pool.submit(work, item) for item in itertools.islice(left, lanes)}
    try:
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            under_way |= {pool.submit(work, item) for item in itertools.islice(left, len(done))}
            yield from (one.result() for one in done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _run(stage: ChaosStage, cases: Sequence[Case], series: Series, number: int, stop: threading.Event) -> RunEnd:
    """One run, in a thread that may be left behind; nobody hears of its end once `stop` is set."""
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
    end, attempts, detail = _await(answers, series.patience_s, stop)
    seconds = time.monotonic() - started
    return RunEnd(number, name, end, faults, seconds, attempts, detail, case.name, channel)


def _await(
    answers: queue.SimpleQueue[tuple[End, int, str]], patience_s: float, stop: threading.Event
) -> tuple[End, int, str]:
    until = time.monotonic() + patience_s
    while not stop.is_set() and time.monotonic() < until:
        try:
            return answers.get(timeout=LOOK_S)
        except queue.Empty:
            continue
    return "hang", 0, f"no answer within {patience_s:g} s"


def _ask(stage: ChaosStage, case: Case, series: Series, name: str, channel: str) -> tuple[End, int, str]:
    try:
        answer = Client(stage.stage).infer(case.name, case.inputs, run_id=name, channel=channel, **series.fields)
    except RunFailed as failure:
        return "typed_error", 0, f"{failure.error['type']}: {failure}"
    except Exception as error:  # noqa: BLE001 - the run has no answer, whatever became of its client
        return "typed_error", 0, f"{type(error).__name__}: {error}"
    difference = compare(case.expected, answer.outputs)
    attempts = int(answer.figures["attempts"])
    return ("right" if difference.ok else "wrong"), attempts, "; ".join(difference.problems)


def _leaks(stage: ChaosStage) -> list[str]:
    """What is still there when everything had time to go."""
    until = time.monotonic() + SETTLE_S
    while (left := _left(stage)) and time.monotonic() < until:
        time.sleep(1.0)
    return left


def _left(stage: ChaosStage) -> list[str]:
    notes = stage.desk.notes()
    held = [*objects_left(stage), *leases_left(stage), *invocations_left(notes)]
    return [*held, *messages_left(stage, listened_until(notes))]
