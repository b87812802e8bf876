"""What runs have left behind: objects, leases, messages, and invocations that never ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from channels.config import MAX_MESSAGE_BYTES
from channels.errors import FrameError
from channels.frame import parse_frame
from channels.publish import DATA
from channels.receive import incoming
from chaos.stage import ChaosStage
from client.target import SERVICE
from runs.faults import parse_failure
from runs.lease import held_lanes
from runs.objects import Objects

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import MessageTypeDef

LATE_S = 2.0
VISIBLE: Final = "ApproximateNumberOfMessages"
HIDDEN: Final = "ApproximateNumberOfMessagesNotVisible"
# A process's age is known to a tick, the machine's to a hundredth of a second.
CLOCK_S = 0.5
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
    open_: dict[tuple[int, str], float] = {}
    for note in notes:
        who = (note["pid"], f"run {note['run_id']} slot {note.get('slot')} attempt {note.get('attempt')}")
        if note["what"] == "begin":
            open_[who] = note["time"]
        elif note["what"] == "end":
            open_.pop(who, None)
    return [f"process {pid}: {what}" for (pid, what), began_at in open_.items() if _lives(pid, began_at)]


def _lives(pid: int, since: float) -> bool:
    """Whether the process that had this number at a time still has it: the system gives numbers anew."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return False
    started_at = time.time() - uptime_s + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] != "Z" and started_at < since + CLOCK_S


def listened_until(notes: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """When rank 0 of the last run that listened to a lane's queues was done, in seconds since 1970, by lane."""
    ended = {note["run_id"]: note["time"] for note in notes if note["what"] == "end" and note.get("slot") == 0}
    until: dict[int, float] = {}
    for note in notes:
        if note["what"] == "listen":
            until[note["lane"]] = max(until.get(note["lane"], 0.0), ended.get(note["run_id"], 0.0))
    return until


def messages_left(stage: ChaosStage, until: Mapping[int, float]) -> list[str]:
    """Messages in the lanes that a run should have taken, or that a process had when it died.

    What came within LATE_S of the end of the last run that listened there, or later, nobody could take: the second
    copy of a last message, or one whose sender had left. The next run that listens drops it.

    until: as listened_until says.
    """
    left = []
    for lane in range(stage.lanes):
        for slot in range(stage.ranks):
            name = f"{SERVICE}-{stage.stage.name}-lane-{lane}-slot-{slot}"
            url = stage.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            found = stage.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[VISIBLE, HIDDEN])["Attributes"]
            if int(found[HIDDEN]):
                left.append(f"lane {lane} slot {slot}: {found[HIDDEN]} messages that were received and not deleted")
            if int(found[VISIBLE]):
                early = [one for one in _look(stage, url) if _sent_at(one) < until.get(lane, 0.0) - LATE_S]
                left += [f"lane {lane} slot {slot}: {describe(message, slot)}" for message in early]
    return left


def describe(message: MessageTypeDef, slot: int) -> str:
    """What a message in the queue of a slot is: a worker's frames, or Lambda's word of a failure."""
    notice = parse_failure(message["Body"])
    if notice is not None:
        return f"notice of run {notice.run_id} attempt {notice.attempt}: {notice.fault.cause}"
    frames = [frame for arrived in incoming(message, slot) for frame in arrived.frames]
    try:
        headers = [parse_frame(frame, MAX_MESSAGE_BYTES).header for frame in frames]
    except FrameError:
        headers = []
    texts = [f"{header.tag} of slot {header.source}" for header in headers]
    if not texts:
        return "a message that is not ours"
    return f"run {headers[0].run_tag.hex()}... attempt {headers[0].attempt}: {', '.join(texts)}"


def _sent_at(message: MessageTypeDef) -> float:
    return float(message["Attributes"]["SentTimestamp"]) / 1000


def _look(stage: ChaosStage, queue: str) -> Sequence[MessageTypeDef]:
    """Up to ten messages; they stay there."""
    answer = stage.sqs.receive_message(
        QueueUrl=queue,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=0,
        VisibilityTimeout=0,
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=[DATA],
    )
    return answer.get("Messages", [])
