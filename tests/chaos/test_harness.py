"""The harness itself: a series in parts, one that is interrupted, and what counts as left behind."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from channels.frame import Frame, Header, pack_frame
from channels.parcel import pack_parcel
from channels.publish import DATA, RELAYED_BODY
from channels.tags import ABORT, Tag
from channels.text import to_text
from channels.transport import Key, Outgoing
from chaos import harness
from chaos.desk import Desk
from chaos.errors import Interrupted
from chaos.harness import RunEnd, Series, run_series
from chaos.leaks import HIDDEN, VISIBLE, describe, invocations_left, listened_until, messages_left
from chaos.plan import run_id
from chaos.report import good, lines, summary

RUN = "ab" * 16


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three lanes on which every run is right at once, and nothing is left."""

    def run(_stage: Any, _cases: Any, series: Series, number: int, _stop: threading.Event) -> RunEnd:
        return RunEnd(number, run_id(series.seed, number), "right", (), 0.1, 1, "", "m-row-2", "queue")

    monkeypatch.setattr(harness, "_run", run)
    monkeypatch.setattr(harness, "_leaks", lambda _stage: [])
    return SimpleNamespace(lanes=3, ranks=2, desk=Desk(tmp_path))


def test_a_series_in_parts_makes_the_runs_of_the_whole(stage: Any) -> None:
    parts = [run_series(stage, [], Series(5, 7, first=first), told=lambda _end: None) for first in (0, 5)]
    whole = run_series(stage, [], Series(10, 7), told=lambda _end: None)
    assert {end.run_id for part in parts for end in part.ends} == {end.run_id for end in whole.ends}
    assert len(whole.ends) == 10


def test_an_interrupted_series_says_what_it_has_and_that_it_is_not_all(stage: Any) -> None:
    told: list[RunEnd] = []

    def tell(end: RunEnd) -> None:
        told.append(end)
        stage.desk.note("fault", end.run_id, kind="drop")
        if len(told) == 4:
            raise Interrupted("by signal 15")

    series = Series(100, 7)
    result = run_series(stage, [], series, told=tell)
    figures = summary(series, result, 1.0)
    assert (figures["runs"], figures["right"], figures["faults"]["drop"]) == (4, 4, 4)
    assert not figures["complete"]
    assert not good(figures)
    assert "interrupted" in lines(figures)[0]


def test_a_series_to_its_end_is_complete(stage: Any) -> None:
    series = Series(6, 7)
    figures = summary(series, run_series(stage, [], series, told=lambda _end: None), 1.0)
    assert figures["complete"]
    assert figures["cases"] == {"m-row-2": 6}
    assert figures["channels"] == {"queue": 6}
    assert good(figures)


class Queues:
    """One message in the queue of slot 0, sent at `sent_at`; hidden: it was received, and not deleted."""

    def __init__(self, sent_at: float, body: str, *, hidden: bool = False) -> None:
        attributes = {"SentTimestamp": str(int(sent_at * 1000))}
        self.messages = [{"Body": body, "Attributes": attributes}]
        self.hidden = hidden

    def get_queue_url(self, QueueName: str) -> dict[str, str]:
        return {"QueueUrl": QueueName}

    def get_queue_attributes(self, QueueUrl: str, **_: object) -> dict[str, Any]:
        count = len(self.messages) if QueueUrl.endswith("slot-0") else 0
        return {"Attributes": {VISIBLE: str(count * (not self.hidden)), HIDDEN: str(count * self.hidden)}}

    def receive_message(self, QueueUrl: str, VisibilityTimeout: int, **_: object) -> dict[str, Any]:
        assert QueueUrl.endswith("slot-0")
        assert VisibilityTimeout == 0
        return {"Messages": self.messages}


def ended_at(when: float) -> list[dict[str, Any]]:
    """Notes of a run that listened to lane 0, and of a later one that did not."""
    return [
        {"what": "listen", "run_id": RUN, "lane": 0, "slot": 0, "time": when - 5},
        {"what": "end", "run_id": RUN, "slot": 1, "time": when + 1},
        {"what": "end", "run_id": RUN, "slot": 0, "time": when},
        {"what": "end", "run_id": "by objects", "slot": 0, "time": when + 100},
    ]


@pytest.mark.parametrize(("sent_at", "left"), [(1_007.0, 1), (1_009.0, 0), (1_011.0, 0)])
def test_a_message_is_left_behind_if_a_run_was_there_to_take_it(sent_at: float, left: int) -> None:
    inner = SimpleNamespace(name="local")
    stage = SimpleNamespace(stage=inner, lanes=1, ranks=2, sqs=Queues(sent_at, "?"))
    found = messages_left(cast(Any, stage), listened_until(ended_at(1_010.0)))
    assert found == ["lane 0 slot 0: a message that is not ours"] * left


def test_a_message_that_a_process_had_when_it_died_is_left_behind() -> None:
    inner = SimpleNamespace(name="local")
    stage = SimpleNamespace(stage=inner, lanes=1, ranks=2, sqs=Queues(0.0, "?", hidden=True))
    (found,) = messages_left(cast(Any, stage), {})
    assert found == "lane 0 slot 0: 1 messages that were received and not deleted"


def test_a_process_is_left_behind_if_it_is_still_the_same() -> None:
    note = {"what": "begin", "run_id": RUN, "slot": 1, "attempt": 1, "pid": os.getpid()}
    mine, formers = {**note, "time": time.time()}, {**note, "time": 1_000_000_000.0}
    assert invocations_left([mine]) == [f"process {os.getpid()}: run {RUN} slot 1 attempt 1"]
    assert invocations_left([formers]) == []
    assert invocations_left([mine, {**mine, "what": "end"}]) == []


def test_what_is_left_behind_is_named() -> None:
    header = Header(bytes.fromhex(RUN)[:4], 2, 1, Tag(ABORT), 1, 0, 0, 1, 0)
    frame = pack_frame(Frame(header, b""), b"k" * 32)
    parcel = pack_parcel([Outgoing(Key(1, 0, Tag(ABORT)), frame)])
    name = "run abababab... attempt 2: step -4 micro-batch 0 of slot 1"
    assert describe({"Body": to_text(parcel)}, 0) == name
    as_attribute: Any = {"Body": ".", "MessageAttributes": {DATA: {"BinaryValue": parcel}}}
    assert describe(as_attribute, 0) == name
    others = pack_parcel([Outgoing(Key(1, 2, Tag(ABORT)), frame)])
    to_hand_on: Any = {"Body": RELAYED_BODY, "MessageAttributes": {DATA: {"BinaryValue": others}}}
    assert describe(to_hand_on, 0) == name
    assert describe({"Body": to_text(others)}, 0) == "a message that is not ours"
    start = {"run_id": RUN, "attempt": 3, "slot": 1}
    notice = {"requestPayload": start, "responsePayload": {"errorType": "E", "errorMessage": "m"}}
    assert describe({"Body": json.dumps(notice)}, 0) == f"notice of run {RUN} attempt 3: E: m"
