"""What runs have left behind: objects, leases, messages, and invocations that never ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from channels.config import MAX_MESSAGE_BYTES
from channels.errors import FrameError
from channels.frame import parse_frame
from channels.parcel import frames_for
from channels.text import from_text
from chaos.stage import ChaosStage
from client.target import SERVICE
from runs.faults import parse_failure
from runs.lease import held_lanes, lane_returned_at
from runs.objects import Objects

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import MessageTypeDef

KEPT = frozenset({"request.json", "input.npz", "output.npz", "record.json"})


def objects_left(stage: ChaosStage) -> list[str]:
    """Keys under runs/ that no run needs any more."""
    keys = (key for page in Objects(stage.stage.s3, stage.stage.bucket).keys("runs/") for key in page)
    return [key for key in keys if key.split("/", 2)[2] not in KEPT]


def leases_left(stage: ChaosStage) -> list[str]:
    """Lanes that are still somebody's."""
    held = held_lanes(Objects(stage.stage.s3, stage.stage.bucket), stage.lanes)
    return [f"lane {lease.lane}: run {lease.run_id}" for lease in held]


def invocations_left(notes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Invocations that began, did not end, and whose process lives on."""
    open_: Counter[tuple[int, str]] = Counter()
    for note in notes:
        who = (note["pid"], f"run {note['run_id']} slot {note.get('slot')}")
        open_[who] += {"begin": 1, "end": -1}.get(note["what"], 0)
    return [f"process {pid}: {what}" for (pid, what), count in open_.items() if count > 0 and _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def messages_left(stage: ChaosStage) -> list[str]:
    """Messages in the lanes that were sent before the last run there had ended: what came later, nobody can take.

    Who returns a lane writes its lease; so S3 knows when that was, to the second.
    """
    objects = Objects(stage.stage.s3, stage.stage.bucket)
    left = []
    for lane in range(stage.lanes):
        returned = lane_returned_at(objects, lane)
        for slot in range(stage.ranks):
            name = f"{SERVICE}-{stage.stage.name}-lane-{lane}-slot-{slot}"
            url = stage.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            while messages := _receive(stage, url):
                early = [message for message in messages if _sent_at(message) < returned]
                left += [f"lane {lane} slot {slot}: {describe(message['Body'], slot)}" for message in early]
    return left


def describe(body: str, slot: int) -> str:
    """What a message in the queue of a slot is: a worker's frames, or Lambda's word of a failure."""
    notice = parse_failure(body)
    if notice is not None:
        return f"notice of run {notice.run_id} attempt {notice.attempt}: {notice.fault.cause}"
    try:
        frames = frames_for(slot, from_text(body) or b"")
        headers = [parse_frame(frame, MAX_MESSAGE_BYTES).header for frame in frames]
    except FrameError:
        return "a message that is not ours"
    texts = [f"{header.tag} of slot {header.source}" for header in headers]
    return (
        f"run {headers[0].run_tag.hex()}... attempt {headers[0].attempt}: {', '.join(texts)}" if headers else "nothing"
    )


def _sent_at(message: MessageTypeDef) -> float:
    return float(message["Attributes"]["SentTimestamp"]) / 1000


def _receive(stage: ChaosStage, queue: str) -> Sequence[MessageTypeDef]:
    answer = stage.sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0, MessageSystemAttributeNames=["SentTimestamp"]
    )
    return answer.get("Messages", [])
