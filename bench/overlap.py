"""What computing while parts are awaited saves: `python -m bench.overlap`.

A network is compiled and run once by all ranks in this process, and every message is kept. Then one rank runs again and
again among the kept messages, each of which comes some time after the rank has sent its own: with the overlap and
without it in turns. Nobody sleeps: time is the thread's CPU time plus what the rank would have waited, so what else the
machine does hardly matters. Nothing is encoded or sent.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.graphchallenge import official_data
from bundle.io import read_manifest
from bundle.store import FolderStore
from channels.tags import Tag
from channels.tensors import LiveTensor, Tensor
from client.tables import align
from engine import LoadedRank, Machine, ShardCache, load_rank
from engine.errors import ExchangeError
from partition import Options as CompileOptions
from partition import compile_for, prepare
from zoo.graphchallenge import GraphChallenge, Options
from zoo.graphchallenge.export import write
from zoo.graphchallenge.network import CEILING, FAN_IN, WEIGHT, Network

Key = tuple[int, int, Tag]  # source, destination, tag
STRATEGY = "row"
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Case:
    """A network, how many ranks, and which of them runs again.

    local:     each neuron reads its neighbours, as in a convolution, instead of the Graph Challenge's network.
    delays_ms: the first and the last part come so long after the own ones were sent, the others evenly between them,
               in an order drawn for each exchange. As a queue's: 10 to 50 ms.
    """

    neurons: int
    layers: int
    samples: int
    workers: int = 8
    rank: int = 3
    local: bool = False
    delays_ms: tuple[float, float] = (10.0, 50.0)


@dataclass(frozen=True)
class Run:
    """One run of the rank, in seconds. wait_s: of these, waiting. cpu_s: of its thread."""

    wall_s: float
    wait_s: float
    cpu_s: float


@dataclass(frozen=True)
class Result:
    """Ratios are overlapped / not, medians over pairs.

    waited_s:  without the overlap; hidden: the share of it that the overlap took away.
    cpu_ratio: CPU seconds where all parts are there at once, so that there is nothing to gain.
    memory:    most bytes held at a time beside the inputs, overlapped / not.
    """

    case: Case
    exchanges: int
    waited_s: float
    hidden: float
    wall_ratio: float
    cpu_ratio: float
    memory: float


@dataclass
class Messages:
    """Every message of a run."""

    kept: dict[Key, Tensor] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)


@dataclass(frozen=True)
class KeepingChannel:
    """A slot's end while all ranks run."""

    slot: int
    messages: Messages

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        """Keep them all."""
        with self.messages.changed:
            self.messages.kept.update({(self.slot, slot, tag): tensor for slot, tag, tensor in messages})
            self.messages.changed.notify_all()

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        """Nobody hands on."""

    def hand_on(self, tag: Tag) -> None:
        """Nobody hands on."""

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        """The first that is there.

        Raises:
            ExchangeError: if none comes.
        """
        kept = self.messages.kept
        with self.messages.changed:
            if not self.messages.changed.wait_for(
                lambda: any((source, self.slot, tag) in kept for source, tag in pairs), TIMEOUT_S
            ):
                raise ExchangeError(f"slot {self.slot}: no {pairs} within {TIMEOUT_S} s: a rank has failed")
            return next((s, t, kept[s, self.slot, t]) for s, t in pairs if (s, self.slot, t) in kept)

    def has_arrived(self, src: int, tag: Tag) -> bool:
        """Whether it is there."""
        with self.messages.changed:
            return (src, self.slot, tag) in self.messages.kept


class Clock:
    """CPU seconds of this thread, and what it would have slept."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def __call__(self) -> float:
        """Now."""
        return time.thread_time() + self.slept_s


class LateChannel:
    """One rank's end among kept messages, each of which comes some time after the step's own were sent."""

    def __init__(self, slot: int, messages: Messages, delays_s: tuple[float, float], seed: int, clock: Clock) -> None:
        self._clock = clock
        self._slot = slot
        self._kept = messages.kept
        self._sources: dict[Tag, list[int]] = {}
        for source, _, tag in (key for key in messages.kept if key[1] == slot):
            self._sources.setdefault(tag, []).append(source)
        self._delays_s = delays_s
        self._rng = np.random.default_rng(seed)
        self._due: dict[tuple[int, Tag], float] = {}

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        """Begin to wait for the others' messages of this step."""
        tags = [tag for _, tag, _ in messages]
        self._expect(tags[0])

    def _expect(self, tag: Tag) -> None:
        sources = self._sources.get(tag, [])
        delays = np.linspace(*self._delays_s, len(sources))
        now = self._clock()
        self._due = {
            (source, tag): now + delay for source, delay in zip(self._rng.permutation(sources), delays, strict=True)
        }

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        """Nobody hands on."""

    def hand_on(self, tag: Tag) -> None:
        """Nobody hands on."""

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        """Sleep until the first of them comes; then it is a copy, as one that was decoded."""
        if not self._due:
            self._expect(pairs[0][1])
        source, tag = min(pairs, key=lambda pair: self._due[pair])
        self._clock.slept_s += max(0.0, self._due.pop((source, tag)) - self._clock())
        return source, tag, _copy(self._kept[source, self._slot, tag])

    def has_arrived(self, src: int, tag: Tag) -> bool:
        """Whether it has come."""
        return self._due.get((src, tag), np.inf) <= self._clock()


def _copy(tensor: Tensor) -> Tensor:
    if isinstance(tensor, LiveTensor):
        return LiveTensor(tensor.values.copy(), tensor.samples, tensor.total)
    return tensor.copy()


def compare(case: Case, pairs: int) -> Result:
    """Compile, run all ranks, and run one of them `pairs` times with the overlap and without it."""
    with tempfile.TemporaryDirectory(prefix="fsd-overlap-") as folder:
        loaded = _loaded(case, Path(folder))
        messages = _all_messages(case, loaded)
        rank = loaded[case.rank]
        late = (case.delays_ms[0] / 1e3, case.delays_ms[1] / 1e3)
        _run(rank, messages, late, 0, True), _run(rank, messages, late, 0, False)
        runs = [_pair(rank, messages, late, seed) for seed in range(pairs)]
        ready = [_pair(rank, messages, (0.0, 0.0), seed) for seed in range(pairs)]
        memory = _peak_bytes(rank, messages, True) / _peak_bytes(rank, messages, False)
    return Result(
        case,
        len({tag for _, destination, tag in messages.kept if destination == case.rank}),
        statistics.median(without.wait_s / 2 for _, without in runs),
        statistics.median(1 - overlapped.wait_s / without.wait_s for overlapped, without in runs),
        statistics.median(overlapped.wall_s / without.wall_s for overlapped, without in runs),
        statistics.median(overlapped.cpu_s / without.cpu_s for overlapped, without in ready),
        memory,
    )


def _loaded(case: Case, folder: Path) -> list[LoadedRank]:
    prepared = prepare(write(_network(case), folder / "model.onnx", dense=False), CompileOptions())
    shards = folder / "shards"
    shards.mkdir()
    store = FolderStore(folder / "store")
    bundle = compile_for(prepared, STRATEGY, case.workers, shards, options=CompileOptions()).write(store)
    manifest, cache = read_manifest(store, bundle), ShardCache(1 << 40)
    return [load_rank(store, manifest, rank, cache) for rank in range(case.workers)]


def _network(case: Case) -> Network:
    if not case.local:
        return GraphChallenge(case.neurons).network(_options(case))
    near = (np.arange(case.neurons)[:, None] + np.arange(-FAN_IN // 2, FAN_IN // 2)) % case.neurons
    reads = np.sort(near, axis=1)
    return Network(case.neurons, case.layers, WEIGHT, -0.01, CEILING, lambda _: reads)


def _inputs(case: Case) -> dict[str, NDArray[np.float32]]:
    if not case.local:
        return dict(GraphChallenge(case.neurons).inputs(_options(case), case.samples))
    return {"x": np.random.default_rng(0).integers(0, 2, (case.samples, case.neurons)).astype(np.float32)}


def _options(case: Case) -> Options:
    return Options(layers=case.layers, data=official_data())


def _all_messages(case: Case, loaded: Sequence[LoadedRank]) -> Messages:
    messages, slots, x = Messages(), range(case.workers), _inputs(case)

    def work(rank: int) -> Mapping[str, NDArray[np.generic]]:
        return Machine(loaded[rank], KeepingChannel(rank, messages), slots).run(x if rank == 0 else {})

    with ThreadPoolExecutor(case.workers) as pool:
        list(pool.map(work, slots))
    return messages


def _pair(rank: LoadedRank, messages: Messages, delays_s: tuple[float, float], seed: int) -> tuple[Run, Run]:
    """Two runs with the overlap, and two without it, one of which comes first; parts come in the same order."""
    turns = (True, False, False, True) if seed % 2 else (False, True, True, False)
    runs = [_run(rank, messages, delays_s, seed, overlap) for overlap in turns]
    pairs = list(zip(runs, turns, strict=True))
    return _sum([run for run, overlap in pairs if overlap]), _sum([run for run, overlap in pairs if not overlap])


def _sum(runs: Sequence[Run]) -> Run:
    return Run(*(sum(getattr(run, name.name) for run in runs) for name in fields(Run)))


def _run(rank: LoadedRank, messages: Messages, delays_s: tuple[float, float], seed: int, overlap: bool) -> Run:
    machine, clock = _machine(rank, messages, delays_s, seed, overlap)
    started, cpu = clock(), time.thread_time()
    machine.run()
    wall_s, cpu_s = clock() - started, time.thread_time() - cpu
    return Run(wall_s, sum(record.wait_seconds for record in machine.trace), cpu_s)


def _machine(
    rank: LoadedRank, messages: Messages, delays_s: tuple[float, float], seed: int, overlap: bool
) -> tuple[Machine, Clock]:
    clock = Clock()
    channel = LateChannel(rank.program.rank, messages, delays_s, seed, clock)
    return Machine(rank, channel, range(rank.program.world_size), clock=clock, overlap=overlap), clock


def _peak_bytes(rank: LoadedRank, messages: Messages, overlap: bool) -> int:
    machine, _ = _machine(rank, messages, (0.0, 0.0), 0, overlap)
    tracemalloc.start()
    machine.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def table(results: Sequence[Result]) -> Iterator[str]:
    """The results as aligned text."""
    head = ("network", "N", "layers", "samples", "exchanges", "waited s", "hidden", "wall", "CPU, all there", "memory")
    rows = [
        (
            "local" if result.case.local else "Graph Challenge",
            *map(str, (result.case.neurons, result.case.layers, result.case.samples, result.exchanges)),
            f"{result.waited_s:.2f}",
            f"{result.hidden:.3f}",
            f"{result.wall_ratio:.3f}",
            f"{result.cpu_ratio:.3f}",
            f"{result.memory:.2f}",
        )
        for result in results
    ]
    yield from align([head, *rows])


CASES = (Case(1024, 120, 10_000), Case(16384, 24, 3_000), Case(16384, 24, 300, local=True))


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9, help="runs with and without the overlap, of each case")
    parser.add_argument("--cases", type=int, nargs="*", default=range(len(CASES)), help="which, from 0 on")
    given = parser.parse_args()
    print(*table([compare(CASES[number], given.pairs) for number in given.cases]), sep="\n")


if __name__ == "__main__":
    main()
