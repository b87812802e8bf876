"""Empties a lane's queues after a run that did not end as planned: notices to workers that were dead already.

The next run would drop them, too; but a stage that fails and is not used again should hold nothing. What a process had
received when it was killed is hidden for a while: the lane is emptied a second time when that is over.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runs.lease import LaneTable
from runs.service import Service

# A receive that waits asks all of a queue's servers; one that does not asks some of them, and may find nothing.
WAIT_S = 1
BATCH = 10
# The queues' visibility timeout (deploy/lanes.cjs) and some seconds more.
AGAIN_S = 25
# A lane that is in use is looked at again: its run drops what it receives, but may not receive all.
TRIES = 20
LEASE_S = 60.0


def drain_lane(service: Service, lane: int, slots: int) -> None:
    """Delete what is visible in the queues of the first `slots` slots; whoever holds the lane may."""
    with ThreadPoolExecutor(slots) as pool:
        list(pool.map(lambda slot: _drain(service, service.settings.queue_url(lane, slot)), range(slots)))


def drain_later(service: Service, run_id: str, lane: int, slots: int, tries: int = TRIES) -> None:
    """Have the lane of a run that has lost a process emptied in AGAIN_S: the queue that calls `infer` tells it."""
    body = json.dumps({"drain": run_id, "lane": lane, "slots": slots, "tries": tries})
    with contextlib.suppress(BotoCoreError, ClientError):
        service.clients.sqs.send_message(QueueUrl=service.settings.line_queue, MessageBody=body, DelaySeconds=AGAIN_S)


def drain_again(service: Service, word: Mapping[str, Any]) -> None:
    """Empty the lane that `drain_later` names, if nobody uses it.

    Raises:
        KeyError, ValueError: not what drain_later sends.
    """
    run_id, lane, tries, settings = str(word["drain"]), int(word["lane"]), int(word["tries"]), service.settings
    slots = min(int(word["slots"]), settings.ranks)
    lanes = LaneTable(service.objects, settings.lanes)
    lease = lanes.take(lane, run_id, LEASE_S)
    if lease is not None:
        drain_lane(service, lane, slots)
        lanes.release(lease)
    elif tries > 1:
        drain_later(service, run_id, lane, slots, tries - 1)


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
