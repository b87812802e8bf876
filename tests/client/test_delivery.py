"""A request is sent until it has an answer, and no oftener than that."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from client.delivery import SENDS, deliver
from client.errors import CloudError
from client.target import Stage
from runs.objects import Objects
from runs.tenure import Tenure
from tests.runs.fakes import Clock, FakeS3

RUN = "ab" * 16
EVENT = {"model": "m", "run_id": RUN}
ANSWER = {"run_id": RUN, "status": "done"}
DIED = {"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"}


@dataclass
class Functions:
    """Lambda, whose answers are scripted: an exception, (payload, died), or an event until which it does not answer."""

    script: list[Any]
    sent: list[Any] = field(default_factory=list)

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        self.sent.append((FunctionName, json.loads(Payload)))
        step = self.script.pop(0)
        if isinstance(step, threading.Event):
            step.wait(20)
            step = ReadTimeoutError(endpoint_url="http://cloud")
        if isinstance(step, Exception):
            raise step
        payload, died = step
        answer: dict[str, Any] = {"Payload": io.BytesIO(json.dumps(payload).encode())}
        return answer | ({"FunctionError": "Unhandled"} if died else {})


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    """A bucket in which nothing has happened; and no pause between two sends."""
    for name, seconds in {"BACKOFF_S": 0, "ATTEND_S": 0.05, "LOOK_S": 0.05, "DOUBT_S": 0.05}.items():
        monkeypatch.setattr(f"client.delivery.{name}", seconds)
    return FakeS3(Clock(time.time()))


def _deliver(s3: FakeS3, functions: Functions) -> dict[str, Any]:
    stage = Stage("dev", "bucket", cast(Any, s3), cast(Any, functions), cast(Any, None))
    return deliver(stage, Objects(cast(Any, s3), "bucket"), EVENT, RUN)


def _refused(status: int) -> ClientError:
    return ClientError({"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Invoke")  # type: ignore[typeddict-item]


@pytest.mark.parametrize("first", [(DIED, True), _refused(429), _refused(503)])
def test_a_request_whose_function_died_or_was_throttled_is_sent_again(s3: FakeS3, first: Any) -> None:
    functions = Functions([first, (ANSWER, False)])
    assert _deliver(s3, functions) == ANSWER
    assert [event for _, event in functions.sent] == [EVENT] * 2


def test_a_request_without_a_slot_is_sent_until_there_is_one(s3: FakeS3) -> None:
    functions = Functions([*[_refused(429)] * (3 * SENDS), (ANSWER, False)])
    assert _deliver(s3, functions) == ANSWER


def test_a_request_without_a_slot_is_given_up_in_the_end(s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.delivery.BUSY_S", 0)
    functions = Functions([_refused(429)] * SENDS)
    with pytest.raises(CloudError, match="infer failed 4 times"):
        _deliver(s3, functions)


def test_a_lost_connection_is_answered_by_the_record_without_another_request(s3: FakeS3) -> None:
    s3.put_object(f"runs/{RUN}/request.json", b"{}")
    s3.put_object(f"runs/{RUN}/record.json", json.dumps(ANSWER).encode())
    functions = Functions([ReadTimeoutError(endpoint_url="http://cloud")])
    assert _deliver(s3, functions) == ANSWER
    assert len(functions.sent) == 1


def test_a_connection_that_hangs_is_answered_by_the_record(s3: FakeS3) -> None:
    s3.put_object(f"runs/{RUN}/request.json", b"{}")
    s3.clock.now += 60
    s3.put_object(f"runs/{RUN}/record.json", json.dumps(ANSWER).encode())
    hangs = threading.Event()
    assert _deliver(s3, Functions([hangs])) == ANSWER
    hangs.set()


def test_a_request_whose_rank_0_is_silent_is_sent_again(s3: FakeS3) -> None:
    expired = Tenure(expires_at=s3.clock() - 10)
    s3.put_object(f"runs/{RUN}/driver.json", expired.encode())
    hangs = threading.Event()
    functions = Functions([hangs, (ANSWER, False)])
    assert _deliver(s3, functions) == ANSWER
    assert len(functions.sent) == 2
    hangs.set()


def test_a_request_that_nobody_accepts_is_sent_again(s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.delivery.START_S", 0.3)
    hangs = threading.Event()
    functions = Functions([hangs, (ANSWER, False)])
    assert _deliver(s3, functions) == ANSWER
    assert len(functions.sent) == 2
    hangs.set()


def test_a_request_whose_rank_0_renews_its_term_is_waited_for(s3: FakeS3) -> None:
    alive = Tenure(expires_at=s3.clock() + 10)
    s3.put_object(f"runs/{RUN}/driver.json", alive.encode())
    s3.put_object(f"runs/{RUN}/request.json", b"{}")
    working = threading.Event()
    threading.Timer(0.3, working.set).start()  # the connection is lost
    threading.Timer(0.6, lambda: s3.put_object(f"runs/{RUN}/record.json", json.dumps(ANSWER).encode())).start()
    functions = Functions([working])
    assert _deliver(s3, functions) == ANSWER
    assert len(functions.sent) == 1


def test_a_function_that_dies_every_time_is_one_line_with_its_cause(s3: FakeS3) -> None:
    functions = Functions([(DIED, True)] * SENDS)
    with pytest.raises(CloudError, match=r"infer failed 4 times: Runtime\.ExitError: signal: killed"):
        _deliver(s3, functions)


def test_a_cloud_that_goes_away_is_one_line(s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://cloud")

    monkeypatch.setattr(s3, "get_object", gone)
    with pytest.raises(CloudError, match="the cloud does not answer any more"):
        _deliver(s3, Functions([ReadTimeoutError(endpoint_url="http://cloud")]))


def test_what_is_refused_for_good_is_not_sent_again(s3: FakeS3) -> None:
    functions = Functions([_refused(403)])
    with pytest.raises(CloudError):
        _deliver(s3, functions)
    assert len(functions.sent) == 1
