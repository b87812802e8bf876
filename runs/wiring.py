"""Decides which channel a run takes, and builds the end of it that belongs to one slot."""

from __future__ import annotations

import time
from collections.abc import Callable

from channels.base import Channel
from channels.config import ChannelConfig, ChannelHooks
from channels.object import ObjectChannel, ObjectSettings
from channels.queue import QueueChannel, QueueSettings
from runs.lease import LaneTable
from runs.service import Service
from runs.start import StartMessage


def choose_channel(service: Service, wanted: str, size: int) -> str:
    """The channel of a run of `size` ranks: the wanted one, or `object` where a lane's queues cannot carry it.

    That is so when there are more ranks than queues, and while the stack is young: SNS takes up to 15 minutes to apply
    a subscription's filter policy, and until then every queue would get every message.
    """
    if wanted != "queue" or (size <= service.settings.ranks and _filters_work(service)):
        return wanted
    return "object"


def _filters_work(service: Service) -> bool:
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
) -> Channel:
    """The end of the run's channel that belongs to slot `start.slot`."""
    config = ChannelConfig(
        run_id=start.run_id,
        attempt=start.attempt,
        epoch=start.epoch,
        slot=start.slot,
        slots=start.slots,
        mac_key=bytes.fromhex(start.mac_key),
        deadline=time.monotonic() + start.deadline - time.time(),
    )
    lanes = LaneTable(service.objects, service.settings.lanes)
    hooks = ChannelHooks(
        check=check, on_foreign=on_foreign, confirm_epoch=lambda epoch: lanes.epoch(start.lane) >= epoch
    )
    return service.on_channel(_OPEN[start.channel](service, start, config, hooks))


def _queue(service: Service, start: StartMessage, config: ChannelConfig, hooks: ChannelHooks) -> Channel:
    settings = QueueSettings(
        topic_arn=service.settings.topic_arn(start.lane),
        queue_urls=tuple(service.settings.queue_url(start.lane, slot) for slot in range(start.slots)),
    )
    return QueueChannel(config, settings, sns=service.clients.sns, sqs=service.clients.sqs, hooks=hooks)


def _object(service: Service, start: StartMessage, config: ChannelConfig, hooks: ChannelHooks) -> Channel:
    settings = ObjectSettings(bucket=service.settings.bucket, prefix=f"runs/{start.run_id}/x/")
    return ObjectChannel(config, settings, s3=service.clients.s3, hooks=hooks)


_OPEN: dict[str, Callable[[Service, StartMessage, ChannelConfig, ChannelHooks], Channel]] = {
    "object": _object,
    "queue": _queue,
}
