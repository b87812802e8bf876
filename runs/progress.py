"""How far a run has come: what rank 0 needs to go on with it, in this process or, after a hand-over, in another."""

from __future__ import annotations

import contextlib
import json
import secrets
import struct
import time
from collections.abc import Iterator, Mapping
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
    """Rank 0's side of a run: what all attempts share, and the one under way.

    attempt:    its number, from 1. A newer one fences the processes of an older one.
    mac_key:    hex digits of the run's secret, the same for all attempts, so that an older one can believe a newer.
    started_at, attempt_at: when the run and the attempt began, in seconds since 1970.
    abandoned:  an attempt was given up after its workers had been started: what they did is not in any report.
    refused:    attempts whose workers Lambda would not start, for want of free slots: they do not count as attempts.
    hedged:     a worker was started twice: what the copy did that left is not in any report.
    lost:       request ids of the invocations that took part in it, as far as they are known.
    causes:     why earlier attempts failed, where the same cause would end the next one, too.
    channel:    how tensors travel, once that is decided.
    hellos:     what each slot that has come said of itself.
    slots:      slot of each rank, once ranks are bound.
    machine:    rank 0's machine where it was interrupted.
    inbox:      what the channel had received and not delivered.
    outputs:    the graph's outputs, once computed.
    phases:     seconds by phase, summed over the processes that were rank 0.
    segments:   (memory_mb, seconds) of those that handed the run over.
    left_by:    how the last of them did: to an invocation ("hand"), or to the queue of those without a lane ("line").
    calls:      calls they made.
    """

    attempt: int = 1
    mac_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    started_at: float = field(default_factory=time.time)
    attempt_at: float = field(default_factory=time.time)
    abandoned: bool = False
    refused: int = 0
    hedged: bool = False
    lost: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    channel: str = ""
    lease: Lease | None = None
    launched: bool = False
    hellos: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    slots: tuple[int, ...] = ()
    machine: MachineState | None = None
    inbox: bytes = b""
    phases: dict[str, float] = field(default_factory=dict)
    segments: list[tuple[int, float]] = field(default_factory=list)
    left_by: str = ""
    calls: Mapping[str, CallCount] = field(default_factory=dict)

    def spend(self, phase: str, seconds: float) -> None:
        """Add to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add what a block takes to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spend(name, time.perf_counter() - started)

    def lose_attempt(self) -> None:
        """Note who took part in the attempt under way, and will not report."""
        ids = [str(hello["request_id"]) for hello in self.hellos.values() if hello.get("request_id")]
        self.lost += [request_id for request_id in ids if request_id not in self.lost]

    def begin_attempt(self) -> None:
        """Forget the attempt under way and begin the next, on the same lane."""
        self.lose_attempt()
        self.attempt += 1
        self.attempt_at = time.time()
        self.launched, self.hellos, self.slots = False, {}, ()
        self.machine, self.inbox = None, b""

    def forget_driver(self, request_id: str) -> None:
        """Begin anew after a driver that died: its lane is to be leased again, its attempt is lost."""
        if request_id:
            self.lost.append(request_id)
        self.abandoned, self.lease, self.channel = True, None, ""
        self.begin_attempt()


def dump_progress(progress: Progress) -> bytes:
    """For another process: a JSON header, then the inbox and the machine's tensors as length-prefixed blobs."""
    codec = Codec(MAX_MESSAGE_BYTES)
    tensors = dict(progress.machine.tensors) if progress.machine else {}
    header = {
        "attempt": progress.attempt,
        "mac_key": progress.mac_key,
        "started_at": progress.started_at,
        "attempt_at": progress.attempt_at,
        "abandoned": progress.abandoned,
        "refused": progress.refused,
        "hedged": progress.hedged,
        "lost": progress.lost,
        "causes": progress.causes,
        "channel": progress.channel,
        "lease": asdict(progress.lease) if progress.lease else None,
        "launched": progress.launched,
        "hellos": list(progress.hellos.items()),
        "slots": progress.slots,
        "pc": progress.machine.pc if progress.machine else None,
        "tensors": list(tensors),
        "phases": progress.phases,
        "segments": progress.segments,
        "left_by": progress.left_by,
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
        attempt_at=header["attempt_at"],
        abandoned=header["abandoned"],
        refused=header["refused"],
        hedged=header["hedged"],
        lost=header["lost"],
        causes=header["causes"],
        channel=header["channel"],
        lease=Lease(**header["lease"]) if header["lease"] else None,
        launched=header["launched"],
        hellos={int(slot): hello for slot, hello in header["hellos"]},
        slots=tuple(header["slots"]),
        machine=None if header["pc"] is None else MachineState(pc=header["pc"], tensors=tensors),
        inbox=blobs[1],
        phases=header["phases"],
        segments=[(int(memory), float(seconds)) for memory, seconds in header["segments"]],
        left_by=header["left_by"],
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
