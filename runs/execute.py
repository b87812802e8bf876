"""Run one rank's program, on whatever rank: load, run, and figure out where the time went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from bundle.manifest import Manifest
from channels.base import Channel
from channels.config import ChannelStats
from channels.tags import Tag
from channels.tensors import Tensor
from costs.calls import CallCount
from costs.steps import StepMeter
from engine import LoadedRank, Machine, MachineState, ProgramError, load_rank
from engine.memory import peak_rss_bytes
from engine.program import ExchangeKind
from runs.report import RankReport
from runs.service import Invocation, Service
from runs.values import Array


@dataclass
class Execution:
    """One rank of one attempt in this process; `state` is what another process needs to go on with it."""

    service: Service
    manifest: Manifest
    rank: int
    slots: Sequence[int]
    loaded: LoadedRank | None = None
    machine: Machine | None = None
    load_s: float = 0.0
    loads: int = 0

    def load(self) -> LoadedRank:
        """Fetch what the rank needs, unless this environment still has it."""
        if self.loaded is None:
            started, before = time.perf_counter(), self.service.cache.loads
            self.loaded = load_rank(self.service.store, self.manifest, self.rank, self.service.cache)
            self.load_s += time.perf_counter() - started
            self.loads += self.service.cache.loads - before
        return self.loaded

    def run(
        self,
        channel: Channel | None,
        feeds: Mapping[str, Array],
        interrupt: Callable[[], None],
        state: MachineState | None,
    ) -> dict[str, Array]:
        """Run the program; on rank 0 the graph's outputs, elsewhere nothing."""
        if channel is not None:
            channel.use_precision(self.manifest.precision)
        steps = StepMeter(self.service.meter, self.service.step_calls)

        def before_each() -> None:
            steps.enter(self.step)
            interrupt()

        self.machine = Machine(self.load(), channel or NO_CHANNEL, self.slots, interrupt=before_each, state=state)
        try:
            return self.machine.run(feeds)
        finally:
            steps.enter(None)

    @property
    def step(self) -> int | None:
        """Step of the program that the machine is at; None before it began and after it ended."""
        if self.machine is None or self.loaded is None:
            return None
        instructions = self.loaded.program.instructions
        return instructions[self.machine.state.pc].step if self.machine.state.pc < len(instructions) else None

    def report(self, channel: Channel | None, invocation: Invocation, calls: Mapping[str, CallCount]) -> RankReport:
        """What this rank did, up to now."""
        trace = self.machine.trace if self.machine else ()
        stats = channel.stats if channel else ChannelStats()
        exchanged = sum(record.seconds - record.wait_seconds for record in trace if record.op in _EXCHANGES)
        return RankReport(
            rank=self.rank,
            slot=self.slots[self.rank],
            request_id=invocation.request_id,
            memory_mb=invocation.memory_mb,
            seconds=time.monotonic() - invocation.started_at,
            load_s=self.load_s,
            compute_s=sum(record.seconds for record in trace if record.op not in _EXCHANGES),
            wait_s=stats.wait_s - stats.call_s,
            exchange_s=max(exchanged, 0.0),
            encode_s=stats.encode_s,
            decode_s=stats.decode_s,
            call_s=stats.call_s,
            peak_bytes=peak_rss_bytes(),
            tensor_bytes=self.machine.peak_bytes if self.machine else 0,
            weight_bytes=self.manifest.ranks[self.rank].weight_bytes,
            shard_loads=self.loads,
            cold=invocation.cold,
            live_samples=tuple(record.live_samples or 0 for record in trace if record.op in _SPARSE_LAYERS),
            calls=calls,
        )


class _NoChannel:
    """Stands where a run has one rank, whose program exchanges nothing."""

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        raise ProgramError(f"a run of one rank sends nothing, got {len(list(messages))} messages")

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        raise ProgramError(f"a run of one rank receives nothing, got {len(pairs)} messages to wait for")

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        raise ProgramError(
            f"a run of one rank has no relay, got slot {slot} under {tag} for {len(sources)} slots on {on}"
        )

    def hand_on(self, tag: Tag) -> None:
        raise ProgramError(f"a run of one rank has nothing to hand on, got {tag}")

    def has_arrived(self, src: int, tag: Tag) -> bool:
        raise ProgramError(f"a run of one rank receives nothing, got slot {src} under {tag} to ask for")


NO_CHANNEL = _NoChannel()
_SPARSE_LAYERS = frozenset({"sparse_layer", "sparse_tail"})
_EXCHANGES: frozenset[str] = frozenset(get_args(ExchangeKind))
