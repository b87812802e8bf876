"""A run's objects in S3: request, result, and the state that a hand-over leaves, all under `runs/<run_id>/`.

A run exists from its request on; it runs while it has no record; its record is written once, at the end.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from costs.calls import CallCount
from runs.errors import BadRequest, InternalError, RunNotFound
from runs.objects import Objects
from runs.request import Request, parse_request
from runs.selfcount import with_own_cost
from runs.tenure import Tenure

# From counted calls to an answer's `calls` and `usd`.
BillOf = Callable[[Mapping[str, CallCount]], dict[str, Any]]

# After its deadline a run may need this long to say that it failed.
GRACE_S = 30.0
# What is left of a run when it has ended.
_RESULT = ("request.json", "input.npz", "output.npz", "record.json")
# Who drives a run is known until its record is there.
_KEPT = (*_RESULT, "driver.json")
_SENT = ("claims/", "x/")  # what workers write


@dataclass(frozen=True)
class Claim:
    """A request as it was accepted: `deadline` in seconds since 1970; the bundle that the model's name meant then."""

    request: Request
    deadline: float
    bundle_id: str


@dataclass(frozen=True)
class RunFiles:
    """The objects of one run.

    exchange: the bucket that messages lie in where that is another one; only sweeping asks for it.
    """

    objects: Objects
    run_id: str
    exchange: Objects | None = None

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
        data = json.dumps({**document, "claim": secrets.token_hex(8)}).encode()
        return self._create_once("request.json", data)

    def _create_once(self, name: str, data: bytes) -> bool:
        """Write one of the run's objects; False when another's is there.

        The SDK's second try finds what its first one wrote, where only the answer was lost: then it is our own.
        """
        if self.objects.create(self.key(name), data) is not None:
            return True
        stored = self.objects.get(self.key(name))
        return stored is not None and stored.data == data

    def read_claim(self) -> Claim:
        """The stored request.

        Raises:
            RunNotFound: there is none, or what is there is none.
        """
        stored = self.objects.get(self.key("request.json"))
        if stored is None:
            raise RunNotFound(f"run {self.run_id}: not known; runs are kept for 7 days")
        try:
            document = json.loads(stored.data)
            return Claim(parse_request(document["request"]), float(document["deadline"]), str(document["bundle_id"]))
        except (ValueError, TypeError, KeyError, BadRequest) as error:
            raise RunNotFound(f"run {self.run_id}: {self.key('request.json')} is no request: {error}") from error

    def resume_event(self, term: int) -> bytes:
        """Payload of the invocation that goes on with a run that was left in a term."""
        return json.dumps({"resume": self.run_id, "term": term}).encode()

    def leaving_calls(self, by: str, progress_bytes: int, tenure: Tenure) -> dict[str, CallCount]:
        """The calls by which a run was left, which its own progress cannot contain; the relay's from the line, too."""
        event = len(self.resume_event(tenure.term))
        written = CallCount(2, 2, progress_bytes + len(tenure.encode()))
        called = {"s3:PutObject": written, "lambda:Invoke": CallCount(1, 1, event)}
        return called | ({"sqs:SendMessage": CallCount(1, 1, event)} if by == "line" else {})

    def finish(
        self, answer: dict[str, Any], calls: dict[str, CallCount], bill: BillOf, leftovers: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Store the answer as the run's record, once; the record, which is another's when another was first.

        A failure is stored as a dead letter, too. The cost of storing is in the record, and of deleting the
        `leftovers`, names of the run's objects.
        """
        letter = dead_letter(answer)

        def price(document: dict[str, Any]) -> dict[str, CallCount]:
            documents = [json.dumps(document).encode(), *([letter] if letter else [])]
            stored = {"s3:PutObject": CallCount(len(documents), len(documents), sum(map(len, documents)))}
            deleted = {"s3:DeleteObject": CallCount(len(leftovers), len(leftovers), 0)} if leftovers else {}
            return stored | deleted

        final = with_own_cost(calls, lambda counted: answer | bill(counted), price)
        if not self._create_once("record.json", json.dumps(final).encode()):
            return self.ended() or final
        if letter:
            self.objects.put(dead_letter_key(self.run_id), letter)
        for name in leftovers:
            self.objects.remove(self.key(name))
        return final

    def sweep(self) -> None:
        """Delete what the run needed only while it ran: messages, claims, progress."""
        self._sweep(_KEPT)

    def sweep_ended(self) -> None:
        """Delete all but the result of a run that has ended: what came after its clean-up."""
        self._sweep(_RESULT)

    def sweep_sent(self) -> None:
        """The same for a worker, which may delete only what workers write."""
        for name in _SENT:
            for page in self.objects.keys(self.key(name)):
                self.objects.delete(page)
        self._sweep_exchange()

    def _sweep(self, names: Collection[str]) -> None:
        """Delete what is not one of these."""
        kept = {self.key(name) for name in names}
        for page in self.objects.keys(self.key("")):
            self.objects.delete([key for key in page if key not in kept])
        self._sweep_exchange()

    def _sweep_exchange(self) -> None:
        if self.exchange is not None:
            for page in self.exchange.keys(self.key("")):
                self.exchange.delete(page)

    def ended(self) -> dict[str, Any] | None:
        """The record of a run that another process drives or drove; None while it goes on.

        A process that was frozen for so long that the run ended without it takes away what it has written since.
        """
        record = self.record()
        if record is not None:
            self.sweep_ended()
        return record

    def record(self) -> dict[str, Any] | None:
        """The answer, or None while the run goes on."""
        stored = self.objects.get(self.key("record.json"))
        if stored is None:
            return None
        try:
            record = dict(json.loads(stored.data))
        except (ValueError, TypeError):
            record = {}
        return record if "status" in record else self._unreadable()

    def _unreadable(self) -> dict[str, Any]:
        """What stands for a record that somebody else has written."""
        error = InternalError(f"run {self.run_id}: {self.key('record.json')} is no record of a run")
        return {"run_id": self.run_id, "status": "failed", "error": error.to_json()}

    def has_ended(self) -> bool:
        """Whether the run has its record."""
        return self.record() is not None


def dead_letter(answer: Mapping[str, Any]) -> bytes:
    """What is kept of a run that failed for good; nothing of any other."""
    if answer["status"] != "failed":
        return b""
    kept = {name: answer[name] for name in ("run_id", "model", "version", "attempts", "seconds", "error")}
    return json.dumps(kept).encode()


def dead_letter_key(run_id: str) -> str:
    """Key of a run's dead letter."""
    return f"dead/{run_id}.json"


def running(run_id: str) -> dict[str, Any]:
    """The answer of a run that goes on."""
    return {"run_id": run_id, "status": "running"}
