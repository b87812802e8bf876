"""Empties a lane's queues after a run that did not end as planned: notices to workers that were dead already.

The next run would drop them, too; but a stage that fails and is not used again should hold nothing. What a process had
received when it was killed is hidden for a while: the run's messages are looked for a second time when that is over.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from channels.config import MAX_MESSAGE_BYTES
from channels.errors import FrameError
from channels.frame import parse_frame, run_tag
from channels.publish import DATA
from channels.receive import incoming
from runs.faults import parse_failure
from runs.lease import LaneTable
from runs.service import Service

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import MessageTypeDef

# A receive that waits asks all of a queue's servers; one that does not asks some of them, and may find nothing.
WAIT_S = 1
BATCH = 10
# The queues' visibility timeout (deploy/lanes.cjs) and some seconds more.
AGAIN_S = 25
# A lane that is in use is looked at again: its run drops what it receives, but may not receive all.
TRIES = 20


def drain_lane(service: Service, lane: int, slots: int) -> None:
    """Delete what is visible in the queues of the first `slots` slots; whoever holds the lane may."""
    _in_each(service, lane, slots, lambda _message, _slot: True)


def drain_twice(service: Service, run_id: str, lane: int, size: int) -> None:
    """Empty the lane that a run of `size` ranks holds, now and when what dead processes had received is visible."""
    slots = min(size, service.settings.ranks)
    drain_lane(service, lane, slots)
    drain_later(service, run_id, lane, slots)


def drain_later(service: Service, run_id: str, lane: int, slots: int, tries: int = TRIES) -> None:
    """Have what is left of a run that has lost a process deleted in AGAIN_S: the queue that calls `infer` tells it."""
    body = json.dumps({"drain": run_id, "lane": lane, "slots": slots, "tries": tries})
    with contextlib.suppress(BotoCoreError, ClientError):
        service.clients.sqs.send_message(QueueUrl=service.settings.line_queue, MessageBody=body, DelaySeconds=AGAIN_S)


def drain_again(service: Service, word: Mapping[str, Any]) -> None:
    """Delete the messages of the run that `drain_later` names from its lane, if nobody uses that.

    Nothing is leased: a run that comes meanwhile gets its own messages back at once.

    Raises:
        KeyError, ValueError: not what drain_later sends.
    """
    run_id, lane, tries, settings = str(word["drain"]), int(word["lane"]), int(word["tries"]), service.settings
    slots = min(int(word["slots"]), settings.ranks)
    if not LaneTable(service.objects, settings.lanes).is_held(lane):
        _in_each(service, lane, slots, lambda message, slot: _is_of(run_id, message, slot))
    elif tries > 1:
        drain_later(service, run_id, lane, slots, tries - 1)


def _is_of(run_id: str, message: MessageTypeDef, slot: int) -> bool:
    """Whether a message in the queue of a slot is a run's: its frames, for whomever, or Lambda's notice of a worker."""
    for arrived in incoming(message, slot):
        if isinstance(arrived.data, str):
            notice = parse_failure(arrived.data)
            if notice is not None and notice.run_id == run_id:
                return True
        if any(_names(run_id, frame) for frame in arrived.frames):
            return True
    return False


def _names(run_id: str, frame: bytes) -> bool:
    with contextlib.suppress(FrameError):
        return parse_frame(frame, MAX_MESSAGE_BYTES).header.run_tag == run_tag(run_id)
    return False


def _in_each(service: Service, lane: int, slots: int, is_to_go: Callable[[MessageTypeDef, int], bool]) -> None:
    with ThreadPoolExecutor(slots) as pool:
        list(pool.map(lambda slot: _drain(service, lane, slot, is_to_go), range(slots)))


def _drain(service: Service, lane: int, slot: int, is_to_go: Callable[[MessageTypeDef, int], bool]) -> None:
    url, sqs, others = service.settings.queue_url(lane, slot), service.clients.sqs, False
    with contextlib.suppress(BotoCoreError, ClientError):  # what is left expires within the hour
        while not others and (messages := _receive(service, url)):
            gone = [message["ReceiptHandle"] for message in messages if is_to_go(message, slot)]
            if gone:
                entries: Any = [{"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(gone)]
                sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            for receipt in {message["ReceiptHandle"] for message in messages} - set(gone):
                sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
                others = True


def _receive(service: Service, url: str) -> list[MessageTypeDef]:
    answer = service.clients.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_S, MessageAttributeNames=[DATA]
    )
    return answer.get("Messages", [])
