"""A worker's side of a run: say hello, be told a rank, run its program, report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from channels.base import Channel
from channels.errors import ChannelError, ChannelTimeout, Fenced, RunAborted
from channels.tags import ASSIGN, HELLO, REPORT, Tag
from costs import CallCount, billed_units, merge
from runs.claims import PULSE_S, Claims
from runs.errors import OutOfTime
from runs.execute import Execution
from runs.faults import fault_of
from runs.keeper import Keeper
from runs.log import Log
from runs.manifests import cached_manifest
from runs.record import RunFiles
from runs.selfcount import with_own_cost
from runs.service import Invocation, Service
from runs.start import StartMessage
from runs.tenure import LEASE_S, Tenures
from runs.watch import RunOver, Watch
from runs.wiring import open_channel

# How often a worker that waits asks whether the run has a record already, or nobody who drives it.
LOOK_S = 5.0
# The attempt or the run is over, and rank 0 knows: nothing is to be told, neither by us nor by Lambda.
_OVER = (Fenced, RunAborted, RunOver, ChannelTimeout)
# Before Lambda ends its function, a worker tells the others.
MARGIN_S = 5.0


def follow(service: Service, start: StartMessage, invocation: Invocation) -> dict[str, Any]:
    """Take part in an attempt until its end; a second copy of its slot leaves at once.

    Returns:
        What the log should say: the rank, and how it ended.

    Raises:
        Exception: whatever went wrong; the other slots have been told. Lambda tells rank 0 as well.
    """
    claims = Claims(service.objects, start.run_id, start.attempt)
    claim = claims.take(start.slot)
    log = _log_of(start, invocation)
    if claim is None:
        log.info("left", reason="another copy has the slot")
        return {"status": "left", "reason": f"slot {start.slot} of attempt {start.attempt} is claimed"}
    files = service.files(start.run_id)
    check = _leave_when_over(service, start, invocation, files)
    # Not until the run's deadline, which is by rank 0's clock: `check` knows when the run is over.
    channel = open_channel(service, start, check=check, until=invocation.ends_at)
    life = Keeper(claim, lambda newest: claims.renew(start.slot, newest, channel.idle_s()), PULSE_S)
    try:
        with life:
            return {"rank": _take_part(service, start, invocation, channel, check, life.stop), "status": "done"}
    except _OVER as error:
        log.info("left", reason=str(error))
        claims.leave(start.slot, life.value)
        if files.has_ended():
            files.sweep_sent()
        return {"status": "left", "reason": str(error)}
    except Exception:
        claims.leave(start.slot, life.value)
        raise
    finally:
        channel.close()


def _leave_when_over(
    service: Service, start: StartMessage, invocation: Invocation, files: RunFiles
) -> Callable[[], None]:
    """A check for a slot that nobody tells of the end: it came late, its notice is gone, rank 0 is dead, time is up."""
    watch, tenures = Watch(), Tenures(service.objects, start.run_id)
    began_at = time.monotonic()

    def look() -> None:
        if files.has_ended():
            raise RunOver(f"run {start.run_id} has ended")
        tenure = tenures.current()
        if tenure is None or tenure.attempt > start.attempt:
            raise RunOver(f"run {start.run_id}: attempt {start.attempt} is over")
        if time.monotonic() - began_at > LEASE_S and tenures.left_s(tenure) < 0:
            raise RunOver(f"run {start.run_id}: nobody drives it any more")

    watch.poll(LOOK_S, look)
    watch.limit(
        "time", invocation.ends_at - MARGIN_S, lambda: OutOfTime(f"slot {start.slot}: its function's time is up")
    )
    return watch.check


def _take_part(
    service: Service,
    start: StartMessage,
    invocation: Invocation,
    channel: Channel,
    check: Callable[[], None],
    be_still: Callable[[], None],
) -> int:
    """Run the slot's share; the rank that it was.

    be_still: no sign of life after this one, so that the report holds all calls.
    """
    execution: Execution | None = None
    log = _log_of(start, invocation)
    try:
        channel.send_json(0, Tag(HELLO), {"held": sorted(service.cache.held()), "request_id": invocation.request_id})
        manifest = cached_manifest(service, start.bundle_id)
        assigned: Any = channel.recv_json(0, Tag(ASSIGN))
        slots = tuple(int(slot) for slot in assigned["slots"])
        execution = Execution(service, manifest, slots.index(start.slot), slots)
        log.info("start", rank=execution.rank, cold=invocation.cold)
        execution.run(channel, {}, interrupt=check, state=None)
        channel.flush()
        log.info("end", rank=execution.rank, seconds=round(time.monotonic() - invocation.started_at, 4))
        be_still()
        _report(service, invocation, channel, execution)
        return execution.rank
    except _OVER:
        raise
    except Exception as error:
        rank, step = (execution.rank, execution.step) if execution else (None, None)
        log.error("failed", rank=rank, step=step, error=f"{type(error).__name__}: {error}")
        _tell_others(channel, fault_of(start.slot, error, invocation.request_id, step).to_text())
        raise


def _log_of(start: StartMessage, invocation: Invocation) -> Log:
    return invocation.log.bind(run_id=start.run_id, attempt=start.attempt, slot=start.slot)


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
