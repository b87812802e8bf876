"""Sending side of the queue channel: the planned requests to topic and queues, made in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channels.background import Background
from channels.publish import DATA, DATA_TYPE, NO_BODY, SLOT, Entry, Request, plan_relayed, plan_requests
from channels.retry import Backoff, Failure, send_in_parts, service_errors
from channels.transport import Outgoing

if TYPE_CHECKING:
    from types_boto3_sns.client import SNSClient
    from types_boto3_sns.type_defs import (
        MessageAttributeValueTypeDef,
        PublishBatchRequestEntryTypeDef,
        PublishBatchResponseTypeDef,
    )
    from types_boto3_sqs.client import SQSClient


@dataclass(frozen=True)
class Lane:
    """Where messages go.

    queue_urls: by slot. filters: whether the topic's subscriptions select by slot already; until then it is not used.
    """

    topic_arn: str
    queue_urls: tuple[str, ...]
    filters: bool = True


class LaneSender:
    """Publishes to a topic whose subscriptions select by slot, or sends to a slot's queue what is cheaper there."""

    def __init__(
        self,
        sns: SNSClient,
        sqs: SQSClient,
        lane: Lane,
        calls: Background,
        backoff: Backoff,
        sleep: Callable[[float], None],
    ) -> None:
        self._sns = sns
        self._sqs = sqs
        self._lane = lane
        self._calls = calls
        self._backoff = backoff
        self._sleep = sleep

    def plan(self, frames: Sequence[Outgoing]) -> list[Request]:
        """The calls that carry these frames."""
        return plan_requests(frames, self._lane.filters)

    def plan_relayed(self, frames: Sequence[Outgoing]) -> list[Request]:
        """The calls that hand on frames of several sources."""
        return plan_relayed(frames, self._lane.filters)

    def start(self, requests: Iterable[Request]) -> None:
        """Start calls.

        Raises:
            TransportError: if the service has refused earlier ones after all retries.
        """
        for request in requests:
            self._calls.start(self.publish, request)

    def publish(self, request: Request) -> None:
        """Make one call.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        if request.slot is not None:
            self._send_one(request, self._lane.queue_urls[request.slot])
        elif len(request.entries) == 1:
            self._publish_one(request.entries[0])
        else:
            send_in_parts("sns publish_batch", request.entries, self._publish_batch, self._backoff, self._sleep)

    def _send_one(self, request: Request, queue_url: str) -> None:
        with service_errors("sqs send_message"):
            self._sqs.send_message(
                QueueUrl=queue_url,
                MessageBody=request.body,
                MessageAttributes={DATA: {"DataType": DATA_TYPE, "BinaryValue": request.entries[0].parcel}},
            )

    def _publish_one(self, entry: Entry) -> None:
        data: MessageAttributeValueTypeDef = {"DataType": DATA_TYPE, "BinaryValue": entry.parcel}
        with service_errors("sns publish"):
            self._sns.publish(
                TopicArn=self._lane.topic_arn, Message=NO_BODY, MessageAttributes={SLOT: _selector(entry), DATA: data}
            )

    def _publish_batch(self, batch: Sequence[Entry]) -> Sequence[Failure]:
        entries = [_batch_entry(str(i), entry) for i, entry in enumerate(batch)]
        with service_errors("sns publish_batch"):
            response = self._sns.publish_batch(TopicArn=self._lane.topic_arn, PublishBatchRequestEntries=entries)
        return _failures(response)


def _selector(entry: Entry) -> MessageAttributeValueTypeDef:
    data_type, value = entry.selector
    return {"DataType": data_type, "StringValue": value}


def _batch_entry(number: str, entry: Entry) -> PublishBatchRequestEntryTypeDef:
    return {"Id": number, "Message": entry.text, "MessageAttributes": {SLOT: _selector(entry)}}


def _failures(response: PublishBatchResponseTypeDef) -> list[Failure]:
    return [Failure(int(f["Id"]), f["Code"], f.get("SenderFault", False)) for f in response.get("Failed", [])]
