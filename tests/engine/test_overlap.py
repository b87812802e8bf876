"""What has arrived is placed and multiplied while the rest is awaited, and the answer has the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from channels.tags import Tag
from channels.tensors import LiveTensor, Tensor
from engine import ahead, arriving, readiness
from engine.csr import csr
from engine.errors import ExchangeError
from engine.kernels import sparse_tools
from engine.loaded import LoadedRank
from engine.machine import Machine, MachineState
from engine.program import Exchange, Free, Run
from engine.sparse_layer import SparseLayer
from tests.engine.fleet import loaded_rank
from tests.engine.live import live
from tests.engine.sparse_contract import random_matrix

Array = NDArray[Any]


class _Stop(Exception):
    """What the channel raises when time is up."""


@contextmanager
def worth_everything(native: bool = True) -> Iterator[None]:
    """However little there is to place or to compute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arriving, "PLACED_BYTES", 0)
        patch.setattr(ahead, "WORTH_PRODUCTS", 0)
        patch.setattr(readiness, "WORTH_SHARE", 0.0)
        if not native:
            patch.setattr(sparse_tools, "native_library", lambda: None)
        yield


def _nothing(_: int) -> None:
    """What is done before a part comes."""


@dataclass
class Scripted:
    """A rank's end; the parts come in the given order, each when it is asked for. Before each, `before` is called."""

    parts: dict[int, LiveTensor]
    order: Sequence[int]
    before: Callable[[int], None] = _nothing
    here: bool = False
    taken: list[int] = field(default_factory=list)

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        """Nobody is there."""

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        """Nobody hands on."""

    def hand_on(self, tag: Tag) -> None:
        """Nobody hands on."""

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        wanted = dict(pairs)
        source = next(source for source in self.order if source in wanted)
        self.before(source)
        self.taken.append(source)
        return source, wanted[source], self.parts[source]

    def has_arrived(self, src: int, tag: Tag) -> bool:
        return self.here and src in self.parts and tag.step >= 0


@dataclass
class Case:
    """One exchange and the layer behind it, on rank 0 of `size`."""

    loaded: LoadedRank
    value: LiveTensor
    parts: dict[int, LiveTensor]

    def machine(self, channel: Scripted, overlap: bool = True, **given: Any) -> Machine:
        slots = range(self.loaded.program.world_size)
        given.setdefault("state", MachineState(0, {"x": self.value}))
        return Machine(self.loaded, channel, slots, overlap=overlap, **given)

    def run(self, order: Sequence[int], overlap: bool = True, before: Callable[[int], None] = _nothing) -> Machine:
        machine = self.machine(Scripted(self.parts, order, before), overlap)
        machine.run()
        return machine


def output(machine: Machine) -> tuple[bytes, bytes, Any]:
    y = machine.state.tensors["y"]
    assert isinstance(y, LiveTensor)
    assert y.values.flags.c_contiguous
    return y.values.tobytes(), y.samples.tobytes(), (y.values.dtype, y.values.shape, y.total)


def _case(
    seed: int, size: int, samples: int, degree: int = 2, preserving: bool = True, bad: float = 0.0, alone: float = 0.0
) -> Case:
    """Random ownership, layer and activation.

    alone: share of samples that live at one rank only; as many are dead; 0 = all live everywhere.
    bad:   put into one element of some rank. Messages have rows that rank 0 does not keep.
    """
    rng = np.random.default_rng([seed, size])
    features, rows = 24, 31
    owner = rng.integers(0, size, features)
    whole = rng.standard_normal((samples, features)).astype(np.float32)
    whole[rng.random(samples) < alone] = 0
    for sample in np.flatnonzero(rng.random(samples) < alone):
        whole[sample, owner != rng.integers(0, size)] = 0
    if bad and samples:
        whole[rng.integers(0, samples), rng.integers(0, features)] = bad
    matrix = random_matrix(rng, rows, features, degree)
    kept = rng.random(features) < 0.9
    columns = np.where(kept, np.cumsum(kept) - 1, -1)
    entries = kept[matrix.indices]
    lengths = np.add.reduceat(np.append(entries, False), matrix.indptr[:-1]).astype(np.int64)
    lengths[np.diff(matrix.indptr) == 0] = 0
    owned = [np.flatnonzero(owner == rank) for rank in range(size)]
    recv = [columns[mine].astype(np.int32) for mine in owned]
    send = [np.arange(owned[0].size, dtype=np.int32), *(np.zeros(0, np.int32) for _ in range(size - 1))]
    weights: dict[str, Array] = {
        "p": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        "i": columns[matrix.indices][entries].astype(np.int32),
        "v": matrix.values[entries],
        "b": (-np.abs(rng.standard_normal(rows)) / 4 if preserving else rng.standard_normal(rows)).astype(np.float32),
    }
    for side, lists in (("send", send), ("recv", recv)):
        weights[f"m.{side}_ptr"] = np.cumsum([0, *map(len, lists)]).astype(np.int32)
        weights[f"m.{side}_rows"] = np.concatenate(lists).astype(np.int32)
    exchange = Exchange(3, "rows", "x", "in", tuple(range(size)), axis=1, maps="m", rows=int(kept.sum()), layer="l")
    attributes = {"clip_min": 0.0, "clip_max": 0.9, "zero_preserving": preserving}
    run = Run(5, "sparse_layer", ("in",), ("y",), weights=("p", "i", "v", "b"), attributes=attributes, layer="l")
    loaded = loaded_rank([exchange, Free(4, ("x",)), run, Free(6, ("in",))], 0, size, weights)
    parts = {rank: live(whole[:, owned[rank]]) for rank in range(1, size) if owned[rank].size}
    return Case(loaded, live(whole[:, owned[0]]), parts)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([1, 2, 3, 5]),
    st.integers(0, 40),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from([0.0, 0.0, np.nan, np.inf]),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.booleans(),
)
def test_answer_has_the_bits_that_it_has_without(
    seed: int, size: int, samples: int, degree: int, preserving: bool, bad: float, alone: float, native: bool
) -> None:
    case = _case(seed, size, samples, degree, preserving, bad, alone)
    order = np.random.default_rng(seed).permutation(np.arange(1, size)).tolist()
    with worth_everything(native):
        assert output(case.run(order)) == output(case.run(order, overlap=False))


def _calls(patch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each call for some of a layer's rows, from now on."""
    calls: list[int] = []
    some = SparseLayer.some

    def counted(self: SparseLayer, rows: NDArray[np.bool_], *rest: Any) -> Any:
        calls.append(int(rows.sum()))
        return some(self, rows, *rest)

    patch.setattr(SparseLayer, "some", counted)
    return calls


def test_rows_are_computed_before_the_last_part_comes_and_the_own_ones_before_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case, calls = _case(1, 3, 40, degree=1), _calls(monkeypatch)
    at: dict[int, int] = {}

    def before(source: int) -> None:
        """The part is held back until the kernel was called for what does not need it."""
        assert calls, f"the part of rank {source} is awaited and nothing was computed"
        at[source] = sum(calls)

    with worth_everything():
        case.run([2, 1], before=before)
    assert 0 < at[2] < at[1] < sum(calls) == 31


def test_nothing_is_computed_ahead_of_parts_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    case, calls = _case(1, 3, 40, degree=1), _calls(monkeypatch)
    with worth_everything():
        case.machine(Scripted(case.parts, [1, 2], here=True)).run()
    assert calls == []


def test_little_work_is_left_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    case, calls = _case(1, 3, 40, degree=1), _calls(monkeypatch)
    case.run([1, 2])
    assert calls == []


def test_layer_of_which_every_row_reads_all_parts_has_no_groups() -> None:
    full = _case(3, 3, 40, degree=24)
    exchange, run = full.loaded.program.instructions[0], full.loaded.program.instructions[2]
    assert isinstance(exchange, Exchange)
    assert isinstance(run, Run)
    maps = full.loaded.maps(exchange)
    assert maps is not None
    matrix = csr(*(full.loaded.weight(name) for name in run.weights[:3]))
    assert readiness.readiness(matrix, maps.recv, 0) is None
    with worth_everything():
        assert output(full.run([2, 1])) == output(full.run([2, 1], overlap=False))


def test_expected_share_is_that_of_parts_in_random_order() -> None:
    rng, others = np.random.default_rng(0), 4
    awaited, entries = np.array([0, 1, 3, 4, 4]), np.array([5, 2, 7, 1, 0])
    reads = [rng.permutation(others)[:count] for count in awaited]
    last = rng.integers(0, others, 20_000)
    alone = np.array([np.mean(~np.isin(last, mine)) for mine in reads])
    share = readiness.expected_share(awaited, entries, others)
    assert share == pytest.approx(float(entries @ alone) / entries.sum(), abs=0.02)
    assert readiness.expected_share(np.zeros(2, np.int64), np.ones(2, np.int64), 0) == 0


@pytest.mark.parametrize("part", [0, 1, 2])
def test_run_that_is_interrupted_between_two_parts_goes_on_in_another_machine(part: int) -> None:
    case, order = _case(5, 4, 30), [3, 1, 2]

    def before(source: int) -> None:
        if source == order[part]:
            raise _Stop

    with worth_everything():
        first = case.machine(Scripted(case.parts, order, before))
        with pytest.raises(_Stop):
            first.run()
        assert first.state.pc == 0
        assert list(first.state.tensors) == ["x"]
        again = case.machine(Scripted(case.parts, list(reversed(order))), state=first.state)
        again.run()
        assert output(again) == output(case.run(order, overlap=False))


@pytest.mark.parametrize("stop", [1, 2])
def test_machine_that_goes_on_behind_the_exchange_computes_what_another_had_computed_ahead(stop: int) -> None:
    case, calls = _case(5, 4, 30), iter(range(100))

    def interrupt() -> None:
        if next(calls) == stop:
            raise _Stop

    with worth_everything():
        first = case.machine(Scripted(case.parts, [1, 2, 3]), interrupt=interrupt)
        with pytest.raises(_Stop):
            first.run()
        again = case.machine(Scripted({}, []), state=first.state)
        again.run()
        assert output(again) == output(case.run([1, 2, 3], overlap=False))


def test_trace_counts_what_is_computed_ahead_as_the_layers_and_waiting_as_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case, now, calls = _case(1, 3, 40, degree=1), [0.0], _calls(monkeypatch)
    some = SparseLayer.some

    def slow(self: SparseLayer, *given: Any) -> Any:
        now[0] += 1.0
        return some(self, *given)

    def before(_: int) -> None:
        now[0] += 10.0

    monkeypatch.setattr(SparseLayer, "some", slow)
    with worth_everything():
        machine = case.machine(Scripted(case.parts, [2, 1], before), clock=lambda: now[0])
        machine.run()
        plain = case.run([2, 1], overlap=False)
    exchange, free, run, _ = machine.trace
    assert (exchange.op, free.op, run.op) == ("rows", "free", "sparse_layer")
    assert (exchange.seconds, exchange.wait_seconds, run.seconds) == (20.0, 20.0, float(len(calls)))
    assert len(calls) > 2
    for with_it, without in zip(machine.trace, plain.trace, strict=True):
        assert (with_it.received_bytes, with_it.sent_bytes) == (without.received_bytes, without.sent_bytes)
        assert with_it.live_samples == without.live_samples


def test_what_is_kept_of_rows_computed_ahead_counts_as_held() -> None:
    case = _case(1, 3, 40, degree=1)
    with worth_everything():
        machine, plain = case.run([1, 2]), case.run([1, 2], overlap=False)
    kept = machine.trace[0].live_bytes - plain.trace[0].live_bytes
    y = machine.state.tensors["y"]
    assert isinstance(y, LiveTensor)
    assert kept >= y.values.nbytes
    assert [record.live_bytes for record in machine.trace[2:]] == [record.live_bytes for record in plain.trace[2:]]
    assert machine.peak_bytes >= machine.trace[0].live_bytes


def test_sample_that_only_rows_computed_ahead_keep_alive_is_kept_beside_samples_that_come_later() -> None:
    """Rank 0 owns the first feature, rank 1 the second; each has a sample of its own, and row i reads feature i."""
    weights: dict[str, Array] = {
        "p": np.arange(3, dtype=np.int32),
        "i": np.arange(2, dtype=np.int32),
        "v": np.ones(2, np.float32),
        "m.send_ptr": np.array([0, 1, 1], np.int32),
        "m.send_rows": np.zeros(1, np.int32),
        "m.recv_ptr": np.arange(3, dtype=np.int32),
        "m.recv_rows": np.arange(2, dtype=np.int32),
    }
    exchange = Exchange(3, "rows", "x", "in", (0, 1), axis=1, maps="m", rows=2)
    run = Run(5, "sparse_layer", ("in",), ("y",), weights=("p", "i", "v"), attributes={"zero_preserving": True})
    loaded = loaded_rank([exchange, run], 0, 2, weights)
    one, other = np.array([[0], [3], [0]], np.float32), np.array([[2], [0], [0]], np.float32)
    case = Case(loaded, live(one), {1: live(other)})
    with worth_everything():
        machine = case.run([1])
    y = machine.state.tensors["y"]
    assert isinstance(y, LiveTensor)
    assert (y.samples.tolist(), y.values.tolist()) == ([0, 1], [[0, 3], [2, 0]])


def test_part_with_samples_of_its_own_is_placed_with_the_last() -> None:
    first, same, other = (live(np.array(x, np.float32)) for x in ([[1], [0]], [[2], [0]], [[0], [3]]))
    rows = [np.array([i], np.int32) for i in range(3)]
    parts = [arriving.Part(i, rows[i], part) for i, part in enumerate((first, other, same))]
    some = arriving.Arriving(3, np.dtype(np.float32), 2)
    placed = []
    for part in parts:
        some.add(part)
        placed.append([it.source for it in some.place()])
    assert placed == [[0], [], [2]]
    assert some.tensor.values.tolist() == [[1], [0], [2]]
    assert [it.source for it in some.finish()] == [1]
    assert (some.tensor.samples.tolist(), some.tensor.values.tolist()) == ([0, 1], [[1, 0], [0, 3], [2, 0]])


def test_part_that_does_not_fit_is_refused_with_the_step() -> None:
    case = _case(1, 3, 40)
    case.parts[2] = live(np.ones((40, 1), np.float32))
    with worth_everything(), pytest.raises(ExchangeError, match="step 3 rows on rank 0: from rank 2: expected float32"):
        case.run([1, 2])
