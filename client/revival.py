"""Calls the next driver of a run whose driver is silent, for who waits for its answer.

Lambda delivers an asynchronous event again when its function died; it does not know of one that hangs, and takes a
minute or two where it knows. A driver that was called for nothing leaves at once.
"""

from __future__ import annotations

import json
import time

from client.target import Stage
from runs.objects import Objects
from runs.tenure import Tenures

LOOK_S = 2.0
# A driver that renewed nothing for so long after its term ended does not come back, and nobody else came either.
SILENT_S = 10.0


class Reviver:
    """Looks at one run, and calls once for each of its terms."""

    def __init__(self, stage: Stage, objects: Objects, run_id: str) -> None:
        self._stage = stage
        self._tenures = Tenures(objects, run_id)
        self._run_id = run_id
        self._called = 0
        self._look_at = 0.0

    def look(self) -> None:
        """Call the next driver, where the newest one is silent; at most one look in LOOK_S."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        tenure = self._tenures.current()
        if tenure is not None and tenure.term > self._called and self._tenures.left_s(tenure) < -SILENT_S:
            self._called = tenure.term
            self._stage.functions.invoke(
                FunctionName=self._stage.function("infer"),
                InvocationType="Event",
                Payload=json.dumps({"resume": self._run_id, "term": tenure.term}).encode(),
            )
