"""Whether anybody is at work, by the signs of life in the claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from runs.claims import PULSE_S, Claims
from runs.errors import Superseded
from runs.objects import Objects
from runs.vigil import FRESH_S, IDLE_S, SILENT_S, Vigil
from tests.runs.fakes import Clock, FakeS3

RUN = "ab" * 16


@dataclass
class Worker:
    """One that renews its claim when a test says so."""

    claims: Claims
    slot: int
    etag: str = ""

    def __post_init__(self) -> None:
        self.etag = self.claims.take(self.slot) or ""

    def renew(self, idle_s: float) -> None:
        self.etag = self.claims.renew(self.slot, self.etag, idle_s)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def s3(clock: Clock) -> FakeS3:
    return FakeS3(clock)


@pytest.fixture
def claims(s3: FakeS3) -> Claims:
    return Claims(Objects(cast(Any, s3), "bucket"), RUN, 1)


def vigil(claims: Claims, slots: tuple[int, ...] = (1, 2), idle_s: float = IDLE_S) -> Vigil:
    return Vigil(claims, lambda: slots, lambda: idle_s)


def test_a_worker_that_gives_no_sign_of_life_is_named(claims: Claims, clock: Clock) -> None:
    first, _frozen = Worker(claims, 1), Worker(claims, 2)
    clock.now += SILENT_S - 1
    first.renew(0)
    assert vigil(claims).verdict() is None
    clock.now += 1
    fault = vigil(claims).verdict()
    assert fault is not None
    assert (fault.slot, fault.kind) == (2, "Silent")


def test_a_worker_that_has_reported_or_has_not_come_need_not_give_any(claims: Claims, clock: Clock) -> None:
    reported, worker = Worker(claims, 1), Worker(claims, 3)
    clock.now += 2 * SILENT_S
    worker.renew(0)
    assert reported.slot == 1
    assert vigil(claims, (2, 3)).verdict() is None


def test_a_worker_that_has_left_is_named_when_nothing_comes_any_more(claims: Claims) -> None:
    left, worker = Worker(claims, 1), Worker(claims, 2)
    claims.leave(1, left.etag)
    worker.renew(0)
    assert vigil(claims, idle_s=IDLE_S - 1).verdict() is None  # what it sent before may be on its way
    fault = vigil(claims).verdict()
    assert fault is not None
    assert (fault.slot, fault.kind) == (1, "Left")
    assert vigil(claims, (2,)).verdict() is None


def test_when_all_have_waited_for_long_a_message_is_lost(claims: Claims, clock: Clock) -> None:
    workers = [Worker(claims, slot) for slot in (1, 2)]
    clock.now += IDLE_S
    for worker in workers:
        worker.renew(IDLE_S)
    fault = vigil(claims).verdict()
    assert fault is not None
    assert fault.kind == "Stalled"


@pytest.mark.parametrize(
    ("idle", "rank_0_idle_s", "age_s"), [(0, IDLE_S, 1), (IDLE_S, 0, 1), (IDLE_S, IDLE_S, FRESH_S + 1)]
)
def test_nothing_is_lost_while_one_works_or_its_sign_is_old(
    claims: Claims, clock: Clock, idle: float, rank_0_idle_s: float, age_s: float
) -> None:
    waits, works = Worker(claims, 1), Worker(claims, 2)
    works.renew(idle)
    clock.now += age_s
    waits.renew(IDLE_S)
    assert vigil(claims, idle_s=rank_0_idle_s).verdict() is None


def test_a_renewal_whose_answer_is_lost_is_the_workers_own(claims: Claims, s3: FakeS3) -> None:
    worker = Worker(claims, 1)
    s3.lose = True
    worker.renew(0)
    worker.renew(0)


def test_a_claim_that_was_swept_away_is_not_written_again(claims: Claims, s3: FakeS3) -> None:
    worker = Worker(claims, 1)
    s3.held.clear()
    with pytest.raises(Superseded):
        worker.renew(0)
    assert s3.held == {}


def test_four_signs_may_be_missed_and_a_message_has_time_to_arrive() -> None:
    assert SILENT_S >= 4 * PULSE_S
    assert IDLE_S - FRESH_S >= 2 * PULSE_S
