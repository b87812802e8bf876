"""One driver at a time, whoever comes when: every order of two or three drivers' writes that matters."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest

from runs.errors import Cancelled, Superseded
from runs.objects import Objects
from runs.tenure import LEASE_S, Tenure, Tenures
from tests.runs.fakes import Clock, FakeS3

RUN = "ab" * 16
KEY = f"runs/{RUN}/driver.json"


@pytest.fixture
def clock() -> Clock:
    """The time of the functions and of S3."""
    return Clock()


@pytest.fixture
def s3(clock: Clock) -> FakeS3:
    """A bucket that has the run's request."""
    s3 = FakeS3(clock)
    s3.put_object(f"runs/{RUN}/request.json", b"{}")
    return s3


def _tenures(s3: FakeS3) -> Tenures:
    return Tenures(Objects(cast(Any, s3), "bucket"), RUN, clock=s3.clock)


def _current(s3: FakeS3) -> Tenure:
    tenure = _tenures(s3).current()
    assert tenure is not None
    return tenure


def test_a_run_that_is_not_known_has_no_driver(clock: Clock) -> None:
    assert _tenures(FakeS3(clock)).current() is None
    assert _tenures(FakeS3(clock)).cancel() is None


def test_who_wrote_the_request_drives_until_a_lease_is_over_and_writes_nothing(s3: FakeS3, clock: Clock) -> None:
    tenures = _tenures(s3)
    assert tenures.left_s(_current(s3)) == LEASE_S
    clock.now += LEASE_S + 1
    assert tenures.left_s(_current(s3)) < 0
    assert KEY not in s3.held


def test_of_two_that_find_a_driver_dead_one_takes_over(s3: FakeS3, clock: Clock) -> None:
    clock.now += LEASE_S + 1
    found = _current(s3)
    first, second = (_tenures(s3).take(found, "r") for _ in range(2))
    assert first is not None
    assert second is None
    assert (first.term, first.attempt) == (2, 2)


def test_a_driver_that_renews_never_counts_as_dead(s3: FakeS3, clock: Clock) -> None:
    tenures, tenure = _tenures(s3), Tenure()
    for _ in range(10):
        clock.now += LEASE_S / 2
        tenure = tenures.renew(tenure)
        assert tenures.left_s(_current(s3)) > 0


def test_a_run_that_was_handed_over_keeps_its_attempt(s3: FakeS3) -> None:
    handed = _tenures(s3).hand(Tenure(), 100)
    taken = _tenures(s3).take(handed, "r")
    assert taken is not None
    assert (taken.term, taken.attempt) == (2, 1)


def test_a_copy_of_a_hand_over_finds_it_taken(s3: FakeS3) -> None:
    handed = _tenures(s3).hand(Tenure(), 100)
    assert _tenures(s3).take(handed, "r") is not None
    assert _tenures(s3).take(handed, "r") is None
    assert _current(s3).state == "driving"


def test_a_first_term_is_not_written_any_more_when_the_run_has_ended(s3: FakeS3) -> None:
    s3.put_object(f"runs/{RUN}/record.json", b"{}")
    with pytest.raises(Superseded, match="has ended"):
        _tenures(s3).renew(Tenure())
    assert KEY not in s3.held


@pytest.mark.parametrize("act", ["renew", "hand"])
def test_a_zombie_learns_that_its_term_is_over(s3: FakeS3, clock: Clock, act: str) -> None:
    zombie = _tenures(s3).renew(Tenure())
    clock.now += LEASE_S + 1
    assert _tenures(s3).take(_current(s3), "r") is not None
    with pytest.raises(Superseded):
        _acts(s3)[act](zombie)


def test_a_zombie_of_the_first_term_that_never_renewed_learns_it_too(s3: FakeS3, clock: Clock) -> None:
    clock.now += LEASE_S + 1
    assert _tenures(s3).take(_current(s3), "r") is not None
    with pytest.raises(Superseded):
        _tenures(s3).renew(Tenure())


@pytest.mark.parametrize("act", ["renew", "hand"])
@pytest.mark.parametrize("renewed", [False, True])
def test_a_driver_learns_that_its_run_is_cancelled(s3: FakeS3, act: str, renewed: bool) -> None:
    tenure = _tenures(s3).renew(Tenure()) if renewed else Tenure()
    former = _tenures(s3).cancel()
    assert former is not None
    assert former.state == "driving"
    with pytest.raises(Cancelled):
        _acts(s3)[act](tenure)


def test_nobody_is_waited_for_to_end_a_run_that_nobody_drives(s3: FakeS3) -> None:
    tenures = _tenures(s3)
    tenures.hand(Tenure(), 100)
    tenures.cancel()
    assert tenures.left_s(_current(s3)) <= 0


def test_a_run_is_cancelled_once(s3: FakeS3) -> None:
    states = [former.state for _ in range(2) if (former := _tenures(s3).cancel()) is not None]
    assert states == ["driving", "cancelled"]


def test_a_write_whose_answer_was_lost_is_known_as_ones_own(s3: FakeS3) -> None:
    tenures, tenure = _tenures(s3), Tenure()
    for _ in range(3):
        s3.lose = True
        tenure = tenures.renew(tenure)
    assert tenure.etag == s3.held[KEY].etag


def test_whatever_the_order_of_renewal_takeover_and_cancel_one_of_them_holds(clock: Clock) -> None:
    """Each of three processes acts on what it read before the others wrote."""
    for order in itertools.permutations(("renew", "take", "cancel")):
        s3 = FakeS3(clock)
        s3.put_object(f"runs/{RUN}/request.json", b"{}")
        first = _tenures(s3).renew(Tenure())
        clock.now += LEASE_S + 1
        found = _current(s3)
        held: list[str] = []
        for act in order:
            try:
                if act == "renew":
                    _tenures(s3).renew(first)
                    held.append(act)
                elif act == "take":
                    held += [act] * (_tenures(s3).take(found, "r") is not None)
                else:
                    _tenures(s3).cancel()
            except (Superseded, Cancelled):
                continue
        assert _current(s3).state == "cancelled"
        assert len(held) <= 1, order


def _acts(s3: FakeS3) -> dict[str, Callable[[Tenure], Tenure]]:
    tenures = _tenures(s3)
    return {"renew": tenures.renew, "hand": lambda tenure: tenures.hand(tenure, 100)}


@pytest.mark.parametrize("renewed", [False, True])
def test_a_term_whose_first_write_was_answered_late_is_the_writers_own(s3: FakeS3, clock: Clock, renewed: bool) -> None:
    if renewed:  # the object is there already
        _tenures(s3).renew(Tenure())
    clock.now += 2 * LEASE_S + 1
    s3.lose = True
    mine = _tenures(s3).take(_current(s3), "r")
    assert mine is not None
    assert (mine.term, mine.etag) == (2, _current(s3).etag)
    assert _tenures(s3).renew(mine).term == 2
