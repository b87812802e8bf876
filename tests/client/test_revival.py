"""Who waits for a run whose driver is silent calls the next one, once."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from client import revival
from client.revival import SILENT_S, Reviver
from client.target import Stage
from runs.objects import Objects
from runs.tenure import Tenure
from tests.runs.fakes import Clock, FakeS3

RUN = "ab" * 16


@dataclass
class Functions:
    """Lambda: notes the events."""

    events: list[Any] = field(default_factory=list)

    def invoke(self, Payload: bytes, InvocationType: str, **_: object) -> None:
        assert InvocationType == "Event"
        self.events.append(json.loads(Payload))


def looks(monkeypatch: pytest.MonkeyPatch, silent_s: float, terms: tuple[int, ...]) -> list[Any]:
    """What is called in two looks at each of these terms, whose drivers have been silent for so long."""
    monkeypatch.setattr(revival, "LOOK_S", 0)
    clock = Clock(time.time())
    s3, functions = FakeS3(clock), Functions()
    reviver = Reviver(
        Stage("dev", "bucket", cast(Any, s3), cast(Any, functions), cast(Any, None)), Objects(cast(Any, s3), "b"), RUN
    )
    for term in terms:
        s3.put_object(f"runs/{RUN}/driver.json", Tenure(term, expires_at=clock() - silent_s).encode())
        reviver.look()
        reviver.look()
    return functions.events


def test_a_silent_driver_is_succeeded_once_in_each_term(monkeypatch: pytest.MonkeyPatch) -> None:
    events = looks(monkeypatch, SILENT_S + 2, (1, 2))
    assert events == [{"resume": RUN, "term": 1}, {"resume": RUN, "term": 2}]


def test_a_driver_that_may_come_back_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(monkeypatch, SILENT_S - 5, (1, 2)) == []
