"""One rank of a verification in a process of its own: `python -m client.rank_process`, see client.verify_processes.

What it has to do is one JSON object on stdin. Inputs, outputs and the report travel by the run's own channel: the
process that started all ranks has the slot behind theirs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import engine.sessions  # noqa: F401 - onnxruntime is in memory before any rank has loaded: it counts as baseline
from bundle.io import read_manifest
from bundle.store import FolderStore
from channels import REPORT, Channel, ChannelConfig, Tag
from channels.folder import FolderChannel, FolderSettings
from client.verify_run import CACHE_BYTES, Value
from engine import Machine, SessionSettings, ShardCache, load_rank
from engine.memory import peak_rss_bytes, rss_bytes

_INPUTS, _OUTPUTS = REPORT - 10, REPORT - 11  # control steps: no program, and no run on Lambda, uses them
_POLL_S = 0.2


@dataclass(frozen=True)
class RankTask:
    """What one process has to do.

    store:   folder of the bundle store; bundle: the bundle's id.
    folder:  of the mailboxes.
    slot:    the rank; ranks + 1 slots there are.
    mac_key: in hex.
    """

    store: str
    bundle: str
    folder: str
    slot: int
    ranks: int
    run_id: str
    mac_key: str
    deadline_s: float


@dataclass(frozen=True)
class RankOutcome:
    """What became of it.

    peak_bytes:     VmHWM, the largest resident set of the process; baseline_bytes: VmRSS before the rank was loaded.
    tensor_bytes:   most bytes of live tensors.
    sent_bytes:     of the tensors that the rank sent, before encoding.
    error:          one line; empty when all went well.
    """

    peak_bytes: int = 0
    baseline_bytes: int = 0
    tensor_bytes: int = 0
    sent_bytes: int = 0
    error: str = ""


def open_end(task: RankTask, slot: int, **hooks: Any) -> FolderChannel:
    """The end of a slot."""
    deadline = time.monotonic() + task.deadline_s
    key = bytes.fromhex(task.mac_key)
    config = ChannelConfig(task.run_id, 0, 0, slot, task.ranks + 1, key, deadline, poll_s=_POLL_S)
    return FolderChannel(config, FolderSettings(Path(task.folder)), **hooks)


def send_values(channel: Channel, slot: int, values: Sequence[Value], *, outputs: bool) -> None:
    """Send values one after another: tensors as they are, of a sequence its length and then its items."""
    step = _OUTPUTS if outputs else _INPUTS
    kinds = [None if value is None else len(value) if isinstance(value, list) else -1 for value in values]
    channel.send_json(slot, Tag(step), kinds)
    items = [item for value in values if value is not None for item in (value if isinstance(value, list) else [value])]
    for number, item in enumerate(items, start=1):
        channel.send(slot, Tag(step, number), item)


def receive_values(channel: Channel, slot: int, *, outputs: bool) -> list[Value]:
    """What `send_values` sent."""
    step, number = _OUTPUTS if outputs else _INPUTS, 0
    values: list[Value] = []
    kinds: Any = channel.recv_json(slot, Tag(step))
    for kind in kinds:
        count = 0 if kind is None else max(1, kind) if kind < 0 else kind
        items = [channel.recv(slot, Tag(step, number + 1 + i)) for i in range(count)]
        number += count
        values.append(None if kind is None else items[0] if kind < 0 else items)
    return values


def main() -> int:
    """Run one rank; the exit status says nothing: the report does."""
    task = RankTask(**json.loads(sys.stdin.read()))
    channel = open_end(task, task.slot)
    try:
        outcome = _run(task, channel)
    except Exception as error:  # noqa: BLE001 - it is raised by the process that waits
        outcome = RankOutcome(error=f"{type(error).__name__}: {error}")
    channel.send_json(task.ranks, Tag(REPORT), asdict(outcome))
    if outcome.error:
        channel.abort(f"rank {task.slot}: {outcome.error}")
    channel.close()
    return 0


def _run(task: RankTask, channel: Channel) -> RankOutcome:
    baseline_bytes = rss_bytes()
    store = FolderStore(task.store)
    manifest = read_manifest(store, task.bundle)
    loaded = load_rank(store, manifest, task.slot, ShardCache(CACHE_BYTES), SessionSettings(threads=1))
    channel.use_precision(manifest.precision)
    machine = Machine(loaded, channel, range(task.ranks))
    feeds = receive_values(channel, task.ranks, outputs=False) if task.slot == 0 else []
    outputs = machine.run(dict(zip((spec.name for spec in manifest.inputs), feeds, strict=False)))
    if task.slot == 0:
        send_values(channel, task.ranks, [outputs[spec.name] for spec in manifest.outputs], outputs=True)
    sent_bytes = sum(record.sent_bytes for record in machine.trace)
    return RankOutcome(peak_rss_bytes(), baseline_bytes, machine.peak_bytes, sent_bytes)


if __name__ == "__main__":
    sys.exit(main())
