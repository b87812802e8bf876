"""A worker's side of a run: say hello, be told a rank, run its program, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from channels.base import Channel
from channels.errors import ChannelError, Fenced, RunAborted
from channels.tags import ASSIGN, HELLO, REPORT, Tag
from costs import CallCount, billed_units, merge
from runs.claims import Claims
from runs.execute import Execution
from runs.faults import fault_of
from runs.manifests import cached_manifest
from runs.record import RunFiles
from runs.selfcount import with_own_cost
from runs.service import Invocation, Service
from runs.start import StartMessage
from runs.watch import RunOver, Watch
from runs.wiring import open_channel

# How often a worker that waits asks whether the run has a record already.
LOOK_S = 10.0


def follow(service: Service, start: StartMessage, invocation: Invocation) -> dict[str, Any]:
    """Take part in an attempt until its end; a second copy of its slot leaves at once.

    Returns:
        What the log should say: the rank, and how it ended.

    Raises:
        Exception: whatever went wrong; the other slots have been told. Lambda tells rank 0 as well.
    """
    claims = Claims(service.objects, start.run_id, start.attempt)
    claim = claims.take(start.slot)
    if claim is None:
        return {"status": "left", "reason": f"slot {start.slot} of attempt {start.attempt} is claimed"}
    channel = open_channel(service, start, check=_leave_when_over(service, start))
    try:
        return {"rank": _take_part(service, start, invocation, channel), "status": "done"}
    except (Fenced, RunAborted, RunOver) as error:
        claims.leave(start.slot, claim)
        return {"status": "left", "reason": str(error)}
    except Exception:
        claims.leave(start.slot, claim)
        raise
    finally:
        channel.close()


def _leave_when_over(service: Service, start: StartMessage) -> Callable[[], None]:
    """A check for a slot that nobody tells of the run's end: it came late, or its notice is gone with the exchange."""
    watch, files = Watch(), RunFiles(service.objects, start.run_id)

    def look() -> None:
        if files.record() is not None:
            raise RunOver(f"run {start.run_id} has ended")

    watch.poll(LOOK_S, look)
    return watch.check


def _take_part(service: Service, start: StartMessage, invocation: Invocation, channel: Channel) -> int:
    execution: Execution | None = None
    try:
        channel.send_json(0, Tag(HELLO), {"held": sorted(service.cache.held()), "request_id": invocation.request_id})
        manifest = cached_manifest(service, start.bundle_id)
        assigned: Any = channel.recv_json(0, Tag(ASSIGN))
        slots = tuple(int(slot) for slot in assigned["slots"])
        execution = Execution(service, manifest, slots.index(start.slot), slots)
        execution.run(channel, {}, interrupt=lambda: None, state=None)
        channel.flush()
        _report(service, invocation, channel, execution)
        return execution.rank
    except (Fenced, RunAborted, RunOver):
        raise
    except Exception as error:
        step = execution.step if execution else None
        _tell_others(channel, fault_of(start.slot, error, invocation.request_id, step).to_text())
        raise


def _report(service: Service, invocation: Invocation, channel: Channel, execution: Execution) -> None:
    """Send rank 0 the figures of this rank, the cost of sending them included."""
    calls = service.calls_of(invocation)
    report = execution.report(channel, invocation, calls)

    def price(document: dict[str, Any]) -> dict[str, CallCount]:
        made = channel.price_json(0, Tag(REPORT), document)
        return merge(*({operation: CallCount(1, billed_units(operation, size), size)} for operation, size in made))

    document = with_own_cost(calls, lambda counted: replace(report, calls=counted).to_json(), price)
    channel.send_json(0, Tag(REPORT), document)
    channel.flush()


def _tell_others(channel: Channel, reason: str) -> None:
    try:
        channel.abort(reason)
    except ChannelError:
        return
