"""How far a run has come: what rank 0 needs to go on with it, in this process or, after a hand-over, in another."""

from __future__ import annotations

import json
import secrets
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from channels.codec import Codec
from channels.config import MAX_MESSAGE_BYTES
from costs.calls import CallCount, calls_from_json, calls_to_json
from engine.machine import MachineState
from runs.lease import Lease

_LENGTH = struct.Struct("<Q")


@dataclass
class Progress:
    """Rank 0's side of one attempt.

    mac_key:    hex digits of the run's secret.
    started_at: seconds since 1970.
    channel:    how tensors travel, once that is decided.
    slots:      slot of each rank, once ranks are bound.
    machine:    rank 0's machine where it was interrupted.
    inbox:      what the channel had received and not delivered.
    outputs:    the graph's outputs, once computed.
    phases:     seconds by phase, summed over the processes that were rank 0.
    segments:   (memory_mb, seconds) of those that handed the run over.
    calls:      calls they made.
    """

    attempt: int = 1
    mac_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    started_at: float = field(default_factory=time.time)
    channel: str = ""
    lease: Lease | None = None
    launched: bool = False
    slots: tuple[int, ...] = ()
    machine: MachineState | None = None
    inbox: bytes = b""
    phases: dict[str, float] = field(default_factory=dict)
    segments: list[tuple[int, float]] = field(default_factory=list)
    calls: Mapping[str, CallCount] = field(default_factory=dict)

    def spend(self, phase: str, seconds: float) -> None:
        """Add to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds


def dump_progress(progress: Progress) -> bytes:
    """For another process: a JSON header, then the inbox and the machine's tensors as length-prefixed blobs."""
    codec = Codec(MAX_MESSAGE_BYTES)
    tensors = dict(progress.machine.tensors) if progress.machine else {}
    header = {
        "attempt": progress.attempt,
        "mac_key": progress.mac_key,
        "started_at": progress.started_at,
        "channel": progress.channel,
        "lease": asdict(progress.lease) if progress.lease else None,
        "launched": progress.launched,
        "slots": progress.slots,
        "pc": progress.machine.pc if progress.machine else None,
        "tensors": list(tensors),
        "phases": progress.phases,
        "segments": progress.segments,
        "calls": calls_to_json(progress.calls),
    }
    blobs = [json.dumps(header).encode(), progress.inbox, *map(codec.encode, tensors.values())]
    return b"".join(part for blob in blobs for part in (_LENGTH.pack(len(blob)), bytes(blob)))


def load_progress(data: bytes) -> Progress:
    """The inverse of dump_progress.

    Raises:
        ValueError: not of that form.
    """
    blobs = _split(data)
    codec, header = Codec(MAX_MESSAGE_BYTES), json.loads(blobs[0])
    tensors = {name: codec.decode(blob) for name, blob in zip(header["tensors"], blobs[2:], strict=True)}
    return Progress(
        attempt=header["attempt"],
        mac_key=header["mac_key"],
        started_at=header["started_at"],
        channel=header["channel"],
        lease=Lease(**header["lease"]) if header["lease"] else None,
        launched=header["launched"],
        slots=tuple(header["slots"]),
        machine=None if header["pc"] is None else MachineState(pc=header["pc"], tensors=tensors),
        inbox=blobs[1],
        phases=header["phases"],
        segments=[(int(memory), float(seconds)) for memory, seconds in header["segments"]],
        calls=calls_from_json(header["calls"]),
    )


def _split(data: bytes) -> list[bytes]:
    blobs: list[bytes] = []
    at = 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if size > len(data) - at:
            raise ValueError(f"progress: expected {size} bytes at {at}, got {len(data) - at}")
        blobs.append(data[at : at + size])
        at += size
    return blobs


def summary(progress: Progress) -> dict[str, Any]:
    """Phases for the answer, in milliseconds' precision."""
    return {name: round(seconds, 4) for name, seconds in progress.phases.items()}
