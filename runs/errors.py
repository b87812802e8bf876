"""How a run can fail: one line each. `code` names it, `retry` says whether the same request may succeed later."""

from __future__ import annotations


class RunError(Exception):
    """Root of what a run ends with instead of an answer."""

    code = "run_failed"
    retry = False

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details

    def to_json(self) -> dict[str, object]:
        """`{type, message, retry}` and what else is known: what the caller of `infer` gets."""
        return {"type": self.code, "message": str(self), "retry": self.retry, **self.details}


class BadRequest(RunError):
    """The request cannot be meant: say it differently."""

    code = "bad_request"


class ModelNotFound(RunError):
    """No model of that name is registered."""

    code = "model_not_found"


class QuotaTooSmall(RunError):
    """The account cannot run that many functions at once: fewer workers, or a larger quota."""

    code = "quota_too_small"


class BudgetTooSmall(RunError):
    """The request's limits in time or money cannot hold: raise them, or register the model otherwise."""

    code = "budget_too_small"


class NoFreeLane(RunError):
    """All lanes are leased to other runs."""

    code = "no_free_lane"
    retry = True


class StartFailed(RunError):
    """Not every worker said hello in time."""

    code = "start_failed"
    retry = True


class NoFreeSlots(StartFailed):
    """Lambda refused to start a worker: other functions have the account's slots."""


class WorkerFailed(RunError):
    """A worker died, ran out of memory or time, or raised. Details: rank, slot, step, cause, request_ids."""

    code = "worker_failed"
    retry = True


class OutOfTime(RunError):
    """A worker's function will be ended soon: it leaves while it can still say so."""

    code = "out_of_time"
    retry = True


class ProgramFailed(RunError):
    """The program refused these inputs in one attempt and in the next: a third one would end the same way."""

    code = "program_failed"


class DeadlineExceeded(RunError):
    """The run did not end inside its deadline."""

    code = "deadline_exceeded"
    retry = True


class Cancelled(RunError):
    """Somebody asked that the run end."""

    code = "cancelled"


class Superseded(RunError):
    """Another process drives the run now: this one is a zombie, and leaves no word."""

    code = "superseded"
    retry = True


class RunLost(RunError):
    """Its coordinator died in every attempt. Details: request_ids."""

    code = "run_lost"
    retry = True


class LeaseLost(RunError):
    """Another run holds the lane now: this process is a zombie."""

    code = "lease_lost"
    retry = True


class ServiceFailed(RunError):
    """An AWS service refused, or did not answer, after all retries of the SDK; or this process has no memory left."""

    code = "service_failed"
    retry = True


class RunNotFound(RunError):
    """No run of that id is known."""

    code = "run_not_found"


class InternalError(RunError):
    """A bug: the log of the run has the traceback."""

    code = "internal_error"
