"""Why a slot left an attempt: in its own words, which it sends to the others, or in Lambda's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from bundle.errors import BundleError, CorruptBundleError, MissingKeyError
from channels.errors import ChannelError
from engine.errors import EngineError, FeedError, KernelError, ProgramError
from runs.errors import WorkerFailed

# What costs a slot its attempt and says nothing against the next one: memory, a service that does not answer, a shard
# that did not arrive whole. Everything else is a bug.
LOSSES = (BotoCoreError, BundleError, ChannelError, ClientError, EngineError, MemoryError)

# What these say of an attempt they say of the next one, too: the same program meets the same inputs.
_LASTING = frozenset(
    kind.__name__ for kind in (CorruptBundleError, MissingKeyError, FeedError, KernelError, ProgramError)
)


@dataclass(frozen=True)
class Fault:
    """What went wrong on a slot.

    kind:       the exception's class, or Lambda's errorType.
    request_id: of the slot's invocation, where known.
    step:       of the program, where known.
    throttled:  it never started, because all of the account's slots were taken.
    """

    slot: int
    kind: str
    message: str
    request_id: str = ""
    step: int | None = None
    throttled: bool = False

    @property
    def cause(self) -> str:
        """Kind and message, as they would be again if the same thing happened elsewhere."""
        return f"{self.kind}: {self.message}".strip(": ")

    @property
    def lasting(self) -> bool:
        """Whether another attempt is likely to end the same way."""
        return self.kind in _LASTING

    def to_text(self) -> str:
        """For the reason of an abort."""
        return json.dumps(asdict(self))


class SlotFailed(Exception):
    """A slot is lost to this attempt."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"slot {fault.slot}: {fault.cause}")
        self.fault = fault


@dataclass(frozen=True)
class FailureNotice:
    """Lambda's word that a worker did not end well: it raised, died, ran out of time, or never started.

    mac_key: the run's secret, which the worker was started with: who does not know it cannot forge a notice.
    """

    run_id: str
    attempt: int
    fault: Fault
    mac_key: str = field(default="", repr=False)


def fault_of(slot: int, error: BaseException, request_id: str, step: int | None) -> Fault:
    """What an exception means for the slot that raised it."""
    return Fault(slot, type(error).__name__, _one_line(str(error)), request_id, step)


def worker_failed(fault: Fault, slots: Sequence[int], request_ids: Sequence[str], step: int | None) -> WorkerFailed:
    """The error of the caller: which rank, where in the program, why, and the request ids to look for.

    slots: of each rank, as far as that is known. request_ids: rank 0's, and that of the slot where that is known.
    step:  of the program, where the fault does not say.
    """
    step = step if fault.step is None else fault.step
    details: dict[str, object] = {"slot": fault.slot, "cause": fault.cause}
    if fault.slot in slots:
        details["rank"] = slots.index(fault.slot)
    if step is not None:
        details["step"] = step
    if fault.lasting:
        details["lasting"] = fault.cause
    where = ", ".join(f"{name} {details[name]}" for name in ("rank", "slot", "step") if name in details)
    details["request_ids"] = list(dict.fromkeys(request_ids))
    known = request_ids[-1] if len(request_ids) > 1 else "not known"
    return WorkerFailed(f"worker failed: {where}: {fault.cause}; request {known}", **details)


def parse_fault(reason: str, source: int) -> Fault:
    """The fault in the reason of an abort that slot `source` sent; any other text is a fault without a kind."""
    try:
        return Fault(**json.loads(reason))
    except (ValueError, TypeError):
        return Fault(source, "", _one_line(reason))


def parse_failure(text: str) -> FailureNotice | None:
    """The notice in a message of an OnFailure destination; None when the text is something else."""
    try:
        record = json.loads(text)
        start = record["requestPayload"]
        answer = record.get("responsePayload") or {}
        context = record.get("requestContext", {})
        condition, request_id = str(context.get("condition", "")), str(context.get("requestId", ""))
        run_id, attempt, slot = str(start["run_id"]), int(start["attempt"]), int(start["slot"])
        key = str(start.get("mac_key", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    kind, message = _cause(answer)
    throttled = condition == "EventAgeExceeded" or "TooManyRequests" in kind or message.startswith("Rate Exceeded")
    fault = Fault(slot, kind, message or ("" if kind else condition), request_id, None, throttled)
    return FailureNotice(run_id, attempt, fault, key)


def cause_of(answer: object) -> str:
    """Kind and message of the answer of a function that failed, as Lambda gives it."""
    return ": ".join(filter(None, _cause(answer))) or "no reason given"


def _cause(answer: object) -> tuple[str, str]:
    if not isinstance(answer, Mapping):
        return "", _one_line(str(answer))
    kind = str(answer.get("errorType") or answer.get("__type") or "")
    return kind, _one_line(str(answer.get("errorMessage") or answer.get("message") or ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
