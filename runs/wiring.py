"""Builds the end of a run's channel that belongs to one slot."""

from __future__ import annotations

import time
from collections.abc import Callable

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.hybrid import HybridChannel, HybridSettings
from channels.object import ObjectChannel, ObjectSettings
from channels.queue import QueueChannel, QueueSettings
from runs.lease import LaneTable
from runs.service import Service
from runs.start import StartMessage
from runs.watch import monotonic


def filters_work(service: Service) -> bool:
    """Whether the topics' subscriptions select by slot. SNS takes up to 15 minutes to apply a filter policy.

    Until then every queue would get every message, so all is sent to the queues directly.
    """
    if service.settings.filter_delay_s <= 0:
        return True
    if service.created_at is None:
        attributes = service.clients.sqs.get_queue_attributes(
            QueueUrl=service.settings.queue_url(0, 0), AttributeNames=["CreatedTimestamp"]
        )["Attributes"]
        service.created_at = float(attributes["CreatedTimestamp"])
    return time.time() - service.created_at >= service.settings.filter_delay_s


def open_channel(
    service: Service,
    start: StartMessage,
    *,
    check: Callable[[], None] = lambda: None,
    on_foreign: Callable[[str], None] = lambda _text: None,
    until: float | None = None,
) -> Channel:
    """The end of the run's channel that belongs to slot `start.slot`.

    until: when nobody waits any more, in time.monotonic's seconds; None = at the run's deadline, by this clock.
    """
    config = ChannelConfig(
        run_id=start.run_id,
        attempt=start.attempt,
        epoch=start.epoch,
        slot=start.slot,
        slots=start.slots,
        mac_key=bytes.fromhex(start.mac_key),
        deadline=monotonic(start.deadline) if until is None else until,
    )
    lanes = LaneTable(service.objects, service.settings.lanes)
    hooks = ChannelHooks(
        check=check, on_foreign=on_foreign, confirm_epoch=lambda epoch: lanes.epoch(start.lane) >= epoch
    )
    return service.on_channel(_OPEN[start.channel](service, start, config, hooks))


def _lane(service: Service, start: StartMessage) -> QueueSettings:
    return QueueSettings(
        topic_arn=service.settings.topic_arn(start.lane),
        queue_urls=tuple(service.settings.queue_url(start.lane, slot) for slot in range(start.slots)),
        filters=filters_work(service),
        relays=_relays(start),
    )


def _relays(start: StartMessage) -> bool:
    """Whether ranks hand on: fewer requests, and another message on the way of every row."""
    return start.prefer != "seconds"


def _prefix(start: StartMessage) -> str:
    return f"runs/{start.run_id}/x/"


def _queue(service: Service, start: StartMessage, config: ChannelConfig, hooks: ChannelHooks) -> Channel:
    clients = service.clients
    return QueueChannel(config, _lane(service, start), sns=clients.sns, sqs=clients.sqs, hooks=hooks)


def _hybrid(service: Service, start: StartMessage, config: ChannelConfig, hooks: ChannelHooks) -> Channel:
    settings = HybridSettings(_lane(service, start), service.settings.exchange_bucket, _prefix(start))
    clients = service.clients
    return HybridChannel(config, settings, sns=clients.sns, sqs=clients.sqs, s3=clients.s3, hooks=hooks)


def _object(service: Service, start: StartMessage, config: ChannelConfig, hooks: ChannelHooks) -> Channel:
    settings = ObjectSettings(service.settings.exchange_bucket, _prefix(start), relays=_relays(start))
    return ObjectChannel(config, settings, s3=service.clients.s3, hooks=hooks)


_OPEN: dict[str, Callable[[Service, StartMessage, ChannelConfig, ChannelHooks], Channel]] = {
    "hybrid": _hybrid,
    "object": _object,
    "queue": _queue,
}
