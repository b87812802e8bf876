"""All ranks of a compiled model in threads of this process, over real frames."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from bundle.manifest import Manifest
from bundle.store import Store
from channels import ChannelConfig, MemoryChannel, MemoryHub, RunAborted
from engine import LoadedRank, Machine, SessionSettings, ShardCache, load_rank
from engine.machine import TensorChannel

CACHE_BYTES = 1 << 40  # nothing is thrown out
_POLL_S = 0.1


Value = Any  # as onnxruntime takes and gives it: an array, of a sequence a list, of an absent optional None


class RankChannel(TensorChannel, Protocol):
    """What a rank's thread needs of its end; `channels.Channel` has it."""

    def use_precision(self, name: str) -> None:
        """Send floats in this precision."""
        ...

    def abort(self, reason: str) -> None:
        """Tell all others that the run is over."""
        ...


@dataclass(frozen=True)
class SplitRun:
    """A finished run: the outputs on rank 0, and the machine of each rank with its trace."""

    outputs: dict[str, Value]
    machines: tuple[Machine, ...]


@dataclass
class _Shared:
    """What the threads of a run leave for the one that waits; `lock` guards the lists, `turn` is entered by each."""

    turn: AbstractContextManager[object]
    outputs: dict[str, Value] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run_ranks(
    store: Store,
    manifest: Manifest,
    inputs: Mapping[str, Value],
    deadline_s: float = 600.0,
    channels: Sequence[RankChannel] | None = None,
    turn: AbstractContextManager[object] | None = None,
) -> SplitRun:
    """Load and run every rank; the first error of any rank ends them all and is raised.

    channels: the end of each slot, which the caller closes; None = over memory, within `deadline_s`.
    turn:     what each rank enters while it runs; None = nothing.

    Raises:
        EngineError, ChannelError, BundleError: what the failing rank raised.
    """
    cache = ShardCache(CACHE_BYTES)
    settings = SessionSettings(threads=1)
    loaded = [load_rank(store, manifest, rank, cache, settings) for rank in range(manifest.world_size)]
    channels = channels or _channels(manifest.world_size, deadline_s)
    for channel in channels:
        channel.use_precision(manifest.precision)
    slots = range(manifest.world_size)
    machines = tuple(Machine(rank, channel, slots) for rank, channel in zip(loaded, channels, strict=True))
    shared = _Shared(turn or nullcontext())
    _join([_thread(m, r, c, inputs, shared) for m, r, c in zip(machines, loaded, channels, strict=True)])
    if shared.errors:
        raise min(shared.errors, key=lambda error: isinstance(error, RunAborted))
    return SplitRun(shared.outputs, machines)


def _channels(slots: int, deadline_s: float) -> list[RankChannel]:
    hub, run_id, key = MemoryHub(slots), secrets.token_hex(16), secrets.token_bytes(32)
    deadline = time.monotonic() + deadline_s
    return [
        MemoryChannel(ChannelConfig(run_id, 0, 0, slot, slots, key, deadline, poll_s=_POLL_S), hub)
        for slot in range(slots)
    ]


def _thread(
    machine: Machine, loaded: LoadedRank, channel: RankChannel, inputs: Mapping[str, Value], shared: _Shared
) -> threading.Thread:
    rank = loaded.program.rank
    feeds = {name: plain(value) for name, value in inputs.items()} if rank == 0 else {}

    def work() -> None:
        try:
            with shared.turn:
                outputs = machine.run(feeds)
            with shared.lock:
                shared.outputs.update(outputs)
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            with shared.lock:
                shared.errors.append(error)
            channel.abort(f"rank {rank}: {error}")

    return threading.Thread(target=work, name=f"rank{rank}", daemon=True)


def plain(value: Value) -> Value:
    """A value as onnxruntime takes it: sequences are lists and an absent optional None, everything else an array."""
    return value if value is None or isinstance(value, list) else np.asarray(value)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
