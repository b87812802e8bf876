"""What a worker is told when it is started, and what Lambda says of one that failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StartMessage:
    """Event of the `worker` function: one slot of one attempt.

    deadline: seconds since 1970.
    mac_key:  hex digits of the run's secret, which signs its frames.
    """

    run_id: str
    attempt: int
    lane: int
    epoch: int
    slot: int
    slots: int
    bundle_id: str
    channel: str
    deadline: float
    mac_key: str = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The event."""
        return asdict(self)

    @staticmethod
    def from_json(event: Mapping[str, Any]) -> StartMessage:
        """The message that an event holds.

        Raises:
            ValueError: a field is missing, unknown or of another type.
        """
        fields = StartMessage.__dataclass_fields__
        if set(event) != set(fields):
            raise ValueError(f"start message: expected the fields {sorted(fields)}, got {sorted(event)}")
        kinds: dict[str, Any] = {"int": int, "float": (int, float), "str": str}
        for name, spec in fields.items():
            if not isinstance(event[name], kinds[str(spec.type)]):
                raise ValueError(f"start message: {name}: expected {spec.type}, got {type(event[name]).__name__}")
        return StartMessage(**event)


@dataclass(frozen=True)
class FailureNotice:
    """Lambda's word that a worker did not end well: it raised, died, ran out of time, or never started.

    throttled: it never started, because all of the account's slots were taken.
    """

    run_id: str
    attempt: int
    slot: int
    error: str
    throttled: bool


def parse_failure(text: str) -> FailureNotice | None:
    """The notice in a message of an OnFailure destination; None when the text is something else."""
    try:
        record = json.loads(text)
        start = record["requestPayload"]
        answer = record.get("responsePayload") or {}
        condition = str(record.get("requestContext", {}).get("condition", ""))
        run_id, attempt, slot = str(start["run_id"]), int(start["attempt"]), int(start["slot"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    kind, message = _cause(answer)
    throttled = condition == "EventAgeExceeded" or "TooManyRequests" in kind or message.startswith("Rate Exceeded")
    return FailureNotice(run_id, attempt, slot, f"{kind}: {message}".strip(": ") or condition, throttled)


def _cause(answer: object) -> tuple[str, str]:
    if not isinstance(answer, Mapping):
        return "", str(answer)
    kind = str(answer.get("errorType") or answer.get("__type") or "")
    message = str(answer.get("errorMessage") or answer.get("message") or "")
    return kind, " ".join(message.split())[:500]
