"""A run's objects in S3: request, result, and the state that a hand-over leaves, all under `runs/<run_id>/`.

A run exists from its request on; it runs while it has no record; its record is written once, at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from costs.calls import CallCount
from runs.errors import RunNotFound
from runs.objects import Objects
from runs.request import Request, parse_request
from runs.selfcount import with_own_cost

# From counted calls to an answer's `calls` and `usd`.
BillOf = Callable[[Mapping[str, CallCount]], dict[str, Any]]

# After its deadline a run may need this long to say that it failed.
GRACE_S = 30.0
# What is left of a run when it has ended.
_KEPT = ("request.json", "input.npz", "output.npz", "record.json")


@dataclass(frozen=True)
class Claim:
    """A request as it was accepted: `deadline` in seconds since 1970; the bundle that the model's name meant then."""

    request: Request
    deadline: float
    bundle_id: str


@dataclass(frozen=True)
class RunFiles:
    """The objects of one run."""

    objects: Objects
    run_id: str

    def key(self, name: str) -> str:
        """Key of one of the run's objects."""
        return f"runs/{self.run_id}/{name}"

    def uri(self, name: str) -> str:
        """s3:// address of one of the run's objects."""
        return f"s3://{self.objects.bucket}/{self.key(name)}"

    def claim(self, request: Request, deadline: float, bundle_id: str) -> bool:
        """Store the request; False when this run was claimed before.

        deadline: seconds since 1970. bundle_id: what the model's name meant when the request came.
        """
        document = {"request": request.to_json(), "deadline": deadline, "bundle_id": bundle_id}
        return self.objects.create(self.key("request.json"), json.dumps(document).encode()) is not None

    def read_claim(self) -> Claim:
        """The stored request.

        Raises:
            RunNotFound: there is none.
        """
        stored = self.objects.get(self.key("request.json"))
        if stored is None:
            raise RunNotFound(f"run {self.run_id}: not known; runs are kept for 7 days")
        document = json.loads(stored.data)
        return Claim(parse_request(document["request"]), float(document["deadline"]), str(document["bundle_id"]))

    def resume_event(self) -> bytes:
        """Payload of the invocation that goes on with a run that was handed over."""
        return json.dumps({"resume": self.run_id}).encode()

    def hand_over_calls(self, progress_bytes: int) -> dict[str, CallCount]:
        """The calls of a hand-over itself, which its own progress cannot contain."""
        return {
            "s3:PutObject": CallCount(1, 1, progress_bytes),
            "lambda:Invoke": CallCount(1, 1, len(self.resume_event())),
        }

    def finish(self, answer: dict[str, Any], calls: dict[str, CallCount], bill: BillOf) -> dict[str, Any]:
        """Store the answer as the run's record, the cost of storing it included, and return it."""

        def price(document: dict[str, Any]) -> dict[str, CallCount]:
            return {"s3:PutObject": CallCount(1, 1, len(json.dumps(document).encode()))}

        final = with_own_cost(calls, lambda counted: answer | bill(counted), price)
        self.objects.put(self.key("record.json"), json.dumps(final).encode())
        return final

    def sweep(self) -> None:
        """Delete what the run needed only while it ran: messages, claims, progress."""
        kept = {self.key(name) for name in _KEPT}
        for page in self.objects.keys(self.key("")):
            self.objects.delete([key for key in page if key not in kept])

    def record(self) -> dict[str, Any] | None:
        """The answer, or None while the run goes on."""
        stored = self.objects.get(self.key("record.json"))
        return None if stored is None else dict(json.loads(stored.data))


def running(run_id: str) -> dict[str, Any]:
    """The answer of a run that goes on."""
    return {"run_id": run_id, "status": "running"}
