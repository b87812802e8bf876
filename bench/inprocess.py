"""All ranks of a compiled model in this process, over the real channel classes and counted services.

What a run costs in calls and bytes is decided by the compiler, the machine, the codec and the channel: all of them are
those that the functions use. Only SNS, SQS and S3 are `bench.services`, and ranks are threads instead of functions.

A network of N = 65,536 with 10,000 samples has activations of 2.4 GB, which 8 ranks read four times over at the first
boundary. So the ranks take turns (`bench.turns`), and the inputs are in a file instead of in memory. Who waits for his
turn waits longer than a function would: receives last as long as SQS lets them, or empty ones would be counted.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.services import Lane, MemoryS3, MemorySns, MemorySqs
from bench.turns import AT_ONCE, TurnChannel
from bundle.manifest import Manifest
from bundle.store import Store
from channels import Channel, ChannelConfig
from channels.object import ObjectSettings
from channels.queue import QueueSettings
from channels.receive import Polling
from channels.registry import open_channel
from channels.tags import ASSIGN, HELLO, REPORT, Tag
from client.verify_run import run_ranks
from costs import CallCount, Meter
from costs.limits import SQS_LONG_POLL

_BUCKET = "memory"
_DEADLINE_S = 6 * 3600.0


@dataclass(frozen=True)
class CountedRun:
    """A finished run.

    calls:   by operation, as the functions' meters would have them, control messages included.
    by_step: payload bytes sent before encoding, by step of the program.
    seconds: of this process, and its CPU seconds: not those of functions.
    """

    outputs: Mapping[str, NDArray[Any]]
    calls: Mapping[str, CallCount]
    by_step: Mapping[int, int]
    seconds: float
    cpu_s: float


def in_files(inputs: Mapping[str, NDArray[Any]], folder: Path) -> dict[str, NDArray[Any]]:
    """The same inputs, mapped from files in a folder: the system may take their memory back at any time."""
    mapped: dict[str, NDArray[Any]] = {}
    for i, (name, array) in enumerate(inputs.items()):
        path = folder / f"input-{i}.npy"
        np.save(path, array)
        mapped[name] = np.load(path, mmap_mode="r")
    return mapped


def run_counted(store: Store, manifest: Manifest, inputs: Mapping[str, NDArray[Any]], channel: str) -> CountedRun:
    """Run every rank over a channel of kind `channel`.

    Raises:
        EngineError, ChannelError, BundleError: what the failing rank raised.
    """
    meter, started, cpu = Meter(), time.perf_counter(), time.process_time()
    with _opened(channel, manifest.world_size, meter) as ends:
        _greet(ends)
        turns = Semaphore(AT_ONCE)
        run = run_ranks(store, manifest, inputs, channels=[TurnChannel(end, turns) for end in ends], turn=turns)
        _report(ends)
        for end in reversed(ends):
            end.flush()
        ends[0].cleanup()
    by_step: dict[int, int] = {}
    for record in (record for machine in run.machines for record in machine.trace if record.sent_bytes):
        by_step[record.step] = by_step.get(record.step, 0) + record.sent_bytes
    seconds = time.perf_counter() - started
    return CountedRun(run.outputs, meter.snapshot(), by_step, seconds, time.process_time() - cpu)


@contextlib.contextmanager
def _opened(kind: str, slots: int, meter: Meter) -> Iterator[list[Channel]]:
    ends = _OPEN[kind](slots, meter)
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


def _configs(slots: int) -> list[ChannelConfig]:
    run_id, key, deadline = secrets.token_hex(16), secrets.token_bytes(32), time.monotonic() + _DEADLINE_S
    return [ChannelConfig(run_id, 0, 0, slot, slots, key, deadline) for slot in range(slots)]


def _queue(slots: int, meter: Meter) -> list[Channel]:
    lane = Lane(tuple(f"queue-{slot}" for slot in range(slots)))
    settings = QueueSettings("topic", lane.urls, polling=Polling(wait_s=SQS_LONG_POLL.value))
    sns, sqs = MemorySns(lane, meter), MemorySqs(lane, meter)
    return [open_channel("queue", config, settings, sns=sns, sqs=sqs) for config in _configs(slots)]


def _object(slots: int, meter: Meter) -> list[Channel]:
    configs = _configs(slots)
    settings = ObjectSettings(_BUCKET, f"runs/{configs[0].run_id}/x/")
    s3 = MemoryS3({}, meter)
    return [open_channel("object", config, settings, s3=s3) for config in configs]


_OPEN: Mapping[str, Callable[[int, Meter], list[Channel]]] = {"object": _object, "queue": _queue}


def _greet(ends: Sequence[Channel]) -> None:
    """The hello of every worker, and what it is told then."""
    for slot, end in enumerate(ends[1:], 1):
        end.send_json(0, Tag(HELLO), {"held": [], "slot": slot})
    for slot in range(1, len(ends)):
        ends[0].recv_json(slot, Tag(HELLO))
    for slot, end in enumerate(ends[1:], 1):
        ends[0].send_json(slot, Tag(ASSIGN), {"slots": list(range(len(ends)))})
        end.recv_json(0, Tag(ASSIGN))


def _report(ends: Sequence[Channel]) -> None:
    """The last message of every worker; a real one is of about this size."""
    for end in ends[1:]:
        end.send_json(0, Tag(REPORT), {"figures": "-" * 1500})
    for slot in range(1, len(ends)):
        ends[0].recv_json(slot, Tag(REPORT))
