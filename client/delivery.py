"""Sends a request until it has an answer: again, under its run id, when rank 0 died or the connection was lost.

A request that is sent twice is one run, so that nothing is computed twice that still goes on.
"""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError as AwsError
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError

from client.errors import CloudError
from client.target import Stage
from runs.objects import Objects
from runs.record import RunFiles
from runs.tenure import Tenures

# A request is sent so often in all; each death of rank 0 is an attempt of the run as well.
SENDS = 4
POLL_S = 0.25
# Who waits for long asks less and less often.
SLOWER, MAX_POLL_S = 1.2, 2.0
BACKOFF_S = 0.5
# Throttled, and the service's own errors.
_AGAIN = frozenset({429, 500, 502, 503, 504})
_THROTTLED = 429
# How long a request that Lambda has no slot for is sent again and again: other functions end meanwhile.
BUSY_S, MAX_BACKOFF_S = 60.0, 4.0
# A driver that renews its term no more, or an answer that the connection lost without a word: looked for from
# ATTEND_S on, every LOOK_S to MAX_LOOK_S, and believed DOUBT_S later.
ATTEND_S, LOOK_S, MAX_LOOK_S, DOUBT_S = 15.0, 2.0, 5.0, 5.0
# How long a function may take from its invocation until it has accepted the request, cold start included.
START_S = 60.0


def deliver(stage: Stage, objects: Objects, event: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """The answer of `infer` to a request.

    Raises:
        CloudError: the cloud cannot be reached, or not any more, or the function died every time.
    """
    try:
        return _deliver(stage, RunFiles(objects, run_id), event)
    except (AwsConnectionError, HTTPClientError) as error:
        raise CloudError(f"run {run_id}: the cloud does not answer any more: {error}") from error


def _deliver(stage: Stage, files: RunFiles, event: Mapping[str, Any]) -> dict[str, Any]:
    cause = ""
    for sent in range(SENDS):
        if sent:
            time.sleep(random.uniform(0, BACKOFF_S * 2**sent))
        answer, cause = _attend(lambda: _insist(lambda: invoke(stage, "infer", event)), files)
        if answer is None and not cause:
            _await_claim(files)
        answer = answer or _outlast(files)
        if answer is not None:
            return answer
    raise CloudError(f"infer failed {SENDS} times: {cause or 'the connection was lost'}")


Reply = tuple[dict[str, Any] | None, str]


class Throttled(str):
    """Why there is no answer: Lambda has no slot for the function now."""


def _insist(call: Callable[[], Reply]) -> Reply:
    """What `call` returns once it is not throttled any more, or after BUSY_S."""
    until, limit_s = time.monotonic() + BUSY_S, BACKOFF_S
    while isinstance((reply := call())[1], Throttled) and time.monotonic() < until:
        time.sleep(random.uniform(0, limit_s))
        limit_s = min(2 * limit_s, MAX_BACKOFF_S)
    return reply


def _attend(call: Callable[[], Reply], files: RunFiles) -> Reply:
    """What `call` returns; or its run's record, or that its driver is silent, where that is known and it hangs."""
    replies: queue.SimpleQueue[Callable[[], Reply]] = queue.SimpleQueue()
    threading.Thread(target=lambda: replies.put(_caught(call)), daemon=True).start()
    pause_s, began_at = ATTEND_S, time.monotonic()
    while True:
        try:
            return replies.get(timeout=pause_s)()
        except queue.Empty:
            pause_s = LOOK_S if pause_s == ATTEND_S else min(pause_s * SLOWER, MAX_LOOK_S)
        if _is_silent(files, time.monotonic() - began_at):  # or done: then nobody renews a term, either
            return _last_word(replies) or (files.record(), "rank 0 is silent")


def _caught(call: Callable[[], Reply]) -> Callable[[], Reply]:
    """The result of a call, or its exception, for another thread."""
    try:
        reply = call()
    except Exception as error:  # noqa: BLE001 - raised again by who waits
        return _raiser(error)
    return lambda: reply


def _raiser(error: Exception) -> Callable[[], Reply]:
    def again() -> Reply:
        raise error

    return again


def _last_word(replies: queue.SimpleQueue[Callable[[], Reply]]) -> Reply | None:
    """A reply that is under way after all."""
    try:
        return replies.get(timeout=DOUBT_S)()
    except queue.Empty:
        return None


def _is_silent(files: RunFiles, waited_s: float) -> bool:
    """Whether nobody drives a run, or nobody has accepted its request for longer than a start may take."""
    tenures = Tenures(files.objects, files.run_id)
    tenure = tenures.current()
    return waited_s > START_S if tenure is None else tenures.left_s(tenure) < -DOUBT_S


def invoke(stage: Stage, function: str, event: Mapping[str, Any]) -> Reply:
    """A function's answer; without one, why it died or was throttled, or nothing where the connection was lost.

    Raises:
        CloudError: the cloud cannot be reached, or refuses the call.
    """
    try:
        answer = stage.functions.invoke(FunctionName=stage.function(function), Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read())
    except AwsConnectionError as error:
        raise CloudError(f"the cloud does not answer: {error}") from error
    except HTTPClientError:
        return None, ""
    except AwsError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in _AGAIN:
            return None, (Throttled if status == _THROTTLED else str)(f"{function}: {error}")
        raise CloudError(f"{function}: {error}") from error
    if answer.get("FunctionError"):
        return None, f"{payload.get('errorType')}: {payload.get('errorMessage')}"
    return dict(payload), ""


def _await_claim(files: RunFiles) -> None:
    """Wait for a request whose connection was lost to be accepted: the function may still be starting."""
    until = time.monotonic() + START_S
    while files.objects.get(files.key("request.json")) is None and time.monotonic() < until:
        time.sleep(POLL_S)


def _outlast(files: RunFiles) -> dict[str, Any] | None:
    """The run's answer, or None once nobody drives it."""
    tenures, pause_s = Tenures(files.objects, files.run_id), POLL_S
    while True:
        answer = files.record()
        if answer is not None:
            return answer
        tenure = tenures.current()
        if tenure is None or tenures.left_s(tenure) <= 0:
            return None
        time.sleep(pause_s)
        pause_s = min(pause_s * SLOWER, MAX_POLL_S)
