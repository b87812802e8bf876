"""Ends a run: its driver is told by an object on S3, at once; a run that nobody drives is ended by `infer`."""

from __future__ import annotations

import time
from typing import Any

from client.delivery import POLL_S, invoke
from client.errors import CloudError, UsageError
from client.target import Stage
from runs.errors import RunNotFound
from runs.objects import Objects
from runs.record import RunFiles
from runs.succession import CANCEL_S
from runs.tenure import Tenures


def cancel_run(stage: Stage, objects: Objects, run_id: str) -> dict[str, Any]:
    """The run's answer: `cancelled`, or how it ended before that.

    Raises:
        UsageError: there is no such run.
        CloudError: the cloud cannot be reached.
    """
    files, tenures = RunFiles(objects, run_id), Tenures(objects, run_id)
    try:
        files.read_claim()
    except RunNotFound as error:
        raise UsageError(str(error)) from None
    answer = files.record()
    if answer is not None:
        return answer
    former = tenures.cancel()
    if former is not None and former.state == "driving" and tenures.left_s(former) > 0:
        answer = _await_record(files)
    if answer is None:
        return _bury(stage, run_id)
    objects.remove(files.key("driver.json"))  # which a driver does not know of that ended just then
    return answer


def _await_record(files: RunFiles) -> dict[str, Any] | None:
    until = time.monotonic() + CANCEL_S
    while (answer := files.record()) is None and time.monotonic() < until:
        time.sleep(POLL_S)
    return answer


def _bury(stage: Stage, run_id: str) -> dict[str, Any]:
    answer, cause = invoke(stage, "infer", {"cancel": run_id})
    if answer is None:
        raise CloudError(f"cancel {run_id}: {cause or 'the connection was lost'}")
    return answer
