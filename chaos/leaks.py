"""What runs have left behind: objects, leases, messages, and invocations that never ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chaos.stage import ChaosStage
from client.target import SERVICE
from runs.lease import held_lanes
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


def messages_left(stage: ChaosStage, ended_at: Mapping[int, float]) -> list[str]:
    """Messages in the lanes that were sent before the last run there had ended: what came later, nobody can take.

    ended_at: when the last run of a lane ended, in seconds since 1970; 0 for a lane that none used.
    """
    left = []
    for lane in range(stage.lanes):
        for slot in range(stage.ranks):
            queue = stage.sqs.get_queue_url(QueueName=f"{SERVICE}-{stage.stage.name}-lane-{lane}-slot-{slot}")[
                "QueueUrl"
            ]
            while messages := _receive(stage, queue):
                sent = [float(message["Attributes"]["SentTimestamp"]) / 1000 for message in messages]
                left += [f"lane {lane} slot {slot}: a message" for at in sent if at < ended_at.get(lane, 0.0)]
    return left


def _receive(stage: ChaosStage, queue: str) -> Sequence[MessageTypeDef]:
    answer = stage.sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0, MessageSystemAttributeNames=["SentTimestamp"]
    )
    return answer.get("Messages", [])
