"""Empties a lane's queues after a run that did not end as planned: notices to workers that were dead already.

The next run would drop them, too; but a stage that fails and is not used again should hold nothing.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import BotoCoreError, ClientError

from runs.service import Service

# A receive that waits asks all of a queue's servers; one that does not asks some of them, and may find nothing.
WAIT_S = 1
BATCH = 10


def drain_lane(service: Service, lane: int, slots: int) -> None:
    """Delete what is visible in the queues of the first `slots` slots; whoever holds the lane may."""
    with ThreadPoolExecutor(slots) as pool:
        list(pool.map(lambda slot: _drain(service, service.settings.queue_url(lane, slot)), range(slots)))


def _drain(service: Service, url: str) -> None:
    with contextlib.suppress(BotoCoreError, ClientError):  # what is left expires within the hour
        while messages := _receive(service, url):
            service.clients.sqs.delete_message_batch(
                QueueUrl=url,
                Entries=[{"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(messages)],
            )


def _receive(service: Service, url: str) -> list[str]:
    answer = service.clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_S)
    return [message["ReceiptHandle"] for message in answer.get("Messages", [])]
