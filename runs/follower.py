"""A worker's side of a run: say hello, be told a rank, run its program, report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from channels.base import Channel
from channels.errors import ChannelError, Fenced, RunAborted
from channels.tags import ASSIGN, HELLO, REPORT, Tag
from costs import CallCount, billed_units, merge, subtract
from runs.execute import Execution
from runs.manifests import cached_manifest
from runs.selfcount import with_own_cost
from runs.service import Invocation, Service
from runs.start import StartMessage
from runs.wiring import open_channel


def follow(service: Service, start: StartMessage, invocation: Invocation) -> dict[str, Any]:
    """Take part in a run until its end.

    Returns:
        What the log should say: the rank, and how it ended.

    Raises:
        Exception: whatever went wrong; the other slots have been told. Lambda tells rank 0 as well.
    """
    channel = open_channel(service, start)
    try:
        rank = _take_part(service, start, invocation, channel)
        return {"rank": rank, "status": "done"}
    except (Fenced, RunAborted) as error:
        return {"status": "left", "reason": str(error)}
    except Exception as error:
        _tell_others(channel, f"slot {start.slot}: {type(error).__name__}: {error}")
        raise
    finally:
        channel.close()


def _take_part(service: Service, start: StartMessage, invocation: Invocation, channel: Channel) -> int:
    channel.send_json(0, Tag(HELLO), {"held": sorted(service.cache.held()), "request_id": invocation.request_id})
    manifest = cached_manifest(service, start.bundle_id)
    assigned: Any = channel.recv_json(0, Tag(ASSIGN))
    slots = tuple(int(slot) for slot in assigned["slots"])
    execution = Execution(service, manifest, slots.index(start.slot), slots)
    execution.run(channel, {}, interrupt=lambda: None, state=None)
    channel.flush()
    _report(service, invocation, channel, execution)
    return execution.rank


def _report(service: Service, invocation: Invocation, channel: Channel, execution: Execution) -> None:
    """Send rank 0 the figures of this rank, the cost of sending them included."""
    calls = subtract(service.meter.snapshot(), invocation.calls_before)
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
