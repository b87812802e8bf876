from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channels.tensors import Tensor
from engine.errors import FeedError, KernelError, ProgramError
from engine.loaded import LoadedRank
from engine.machine import Machine, MachineState
from engine.program import Exchange, Free, Instruction, Run
from tests.engine.fleet import FakeChannel, FakeNetwork, loaded_rank, on_all_ranks
from tests.engine.sparse_contract import random_matrix

Feeds = dict[str, NDArray[Any]]

_SAMPLES, _FEATURES = 6, 8


class _Stop(Exception):
    """What the hook raises when time is up."""


def _stop_at(call: int) -> Callable[[], None]:
    """A hook that raises when it is called for the call-th time (from 0)."""
    calls = iter(range(1_000))

    def hook() -> None:
        if next(calls) == call:
            raise _Stop

    return hook


def _fleet(size: int) -> tuple[list[LoadedRank], Feeds, NDArray[Any]]:
    """A sparse layer split by samples with a joined sum, its feeds, and what rank 0 has to answer."""
    rng = np.random.default_rng(size)
    matrix = random_matrix(rng, 5, _FEATURES)
    weights = {"p": matrix.indptr, "i": matrix.indices, "v": matrix.values}
    group = tuple(range(size))

    def instructions(rank: int) -> list[Instruction]:
        steps: list[Instruction] = [
            Exchange(0, "scatter", "x", "mine", group),
            Run(2, "to_live", ("mine",), ("live",), layer="input"),
            Run(3, "sparse_layer", ("live",), ("y",), weights=tuple(weights), attributes={"clip_min": 0.0}, layer="l1"),
            Free(4, ("mine", "live")),
            Exchange(5, "gather", "y", "whole", group),
            Exchange(7, "all_reduce", "bonus", "sum", group, reduce="sum"),
        ]
        if rank == 0:
            return [*steps, Free(8, ("y",)), Run(9, "to_dense", ("whole",), ("out",))]
        return steps

    x = rng.standard_normal((_SAMPLES, _FEATURES)).astype(np.float32)
    loaded = [loaded_rank(instructions(rank), rank, size, weights, ("out", "sum")) for rank in range(size)]
    return loaded, {"x": x}, np.maximum(x @ matrix.scipy().toarray().T, 0)


def _start(size: int) -> list[MachineState]:
    """Each rank holds a tensor already, as if it were resumed at the first instruction."""
    return [MachineState(0, {"bonus": np.full(2, rank, np.float32)}) for rank in range(size)]


def _run_fleet(
    size: int, first: Callable[[int], tuple[Callable[[], None], Callable[[], None]]]
) -> list[dict[str, Any]]:
    """Outputs by rank. Every rank is continued by a new machine when its hooks (interrupt, check) raise _Stop."""
    loaded, feeds, _ = _fleet(size)
    network, slots = FakeNetwork(), tuple(reversed(range(size)))
    states = _start(size)
    states[0].tensors.update(feeds)

    def work(rank: int) -> dict[str, Any]:
        interrupt, check = first(rank)
        machine = Machine(
            loaded[rank], FakeChannel(network, slots[rank], check), slots, interrupt=interrupt, state=states[rank]
        )
        try:
            return machine.run()
        except _Stop:
            again = Machine(loaded[rank], FakeChannel(network, slots[rank]), slots, state=machine.state)
            return again.run()

    return on_all_ranks(size, work, network)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_rank_0_ends_with_the_outputs_and_the_others_with_nothing(size: int) -> None:
    outputs = _run_fleet(size, lambda _: (lambda: None, lambda: None))
    np.testing.assert_allclose(outputs[0]["out"], _fleet(size)[2], rtol=1e-5, atol=1e-6)
    assert outputs[0]["sum"].tolist() == [sum(range(size))] * 2
    assert outputs[1:] == [{}] * (size - 1)


@pytest.mark.parametrize("stopped", [0, 1, 2])
@pytest.mark.parametrize("call", range(8))
@pytest.mark.parametrize("where", ["before an instruction", "inside a wait"])
def test_run_that_is_stopped_anywhere_goes_on_in_another_machine(stopped: int, call: int, where: str) -> None:
    def hooks(rank: int) -> tuple[Callable[[], None], Callable[[], None]]:
        stop, go = (_stop_at(call) if rank == stopped else lambda: None), lambda: None
        return (stop, go) if where == "before an instruction" else (go, stop)

    undisturbed = _run_fleet(3, lambda _: (lambda: None, lambda: None))[0]
    assert _run_fleet(3, hooks)[0]["out"].tobytes() == undisturbed["out"].tobytes()


def test_interrupted_exchange_leaves_the_state_as_it_was_before() -> None:
    loaded, _, _ = _fleet(2)
    machine = Machine(loaded[1], FakeChannel(FakeNetwork(), 0, _stop_at(0)), (1, 0), state=_start(2)[1])
    with pytest.raises(_Stop):
        machine.run()
    assert machine.state.pc == 0
    assert list(machine.state.tensors) == ["bonus"]


def test_machine_does_not_change_the_state_it_was_given() -> None:
    state = MachineState(0, {"x": np.ones((2, 2), np.float32)})
    run = Run(0, "to_live", ("x",), ("out",))
    Machine(loaded_rank([run, Free(1, ("x",))]), FakeChannel(FakeNetwork(), 0), (0,), state=state).run()
    assert (state.pc, list(state.tensors)) == (0, ["x"])


def _single(instructions: list[Instruction], feeds: Feeds, outputs: tuple[str, ...] = ()) -> Machine:
    machine = Machine(loaded_rank(instructions, outputs=outputs), FakeChannel(FakeNetwork(), 0), (0,))
    machine.run(feeds)
    return machine


def test_trace_has_a_record_per_instruction_with_live_samples_and_bytes() -> None:
    x = np.zeros((100, 4), np.float32)
    x[:10] = 1
    machine = _single(
        [
            Run(0, "to_live", ("x",), ("a",), layer="input"),
            Free(3, ("x",)),
            Exchange(5, "broadcast", "a", "b", (0,), layer="b"),
        ],
        {"x": x},
    )
    assert [(r.step, r.op, r.layer, r.live_samples) for r in machine.trace] == [
        (0, "to_live", "input", 10),
        (3, "free", "", None),
        (5, "broadcast", "b", 10),
    ]
    live_bytes = 10 * 4 * 4 + 10 * 4
    assert [r.live_bytes for r in machine.trace] == [x.nbytes + live_bytes, live_bytes, live_bytes]
    assert machine.peak_bytes == x.nbytes + live_bytes


def test_trace_counts_what_is_sent_received_and_waited_for() -> None:
    network, ticks = FakeNetwork(), iter(range(1000))
    value = np.ones(3, np.float32)

    def work(rank: int) -> Machine:
        run = [Exchange(0, "all_gather", "x", "y", (0, 1))]
        machine = Machine(
            loaded_rank(run, rank, 2), FakeChannel(network, rank), (0, 1),
            state=MachineState(0, {"x": value}), clock=lambda: next(ticks),
        )  # fmt: skip
        machine.run()
        return machine

    for machine in on_all_ranks(2, work, network):
        (record,) = machine.trace
        assert (record.sent_bytes, record.received_bytes, record.sent_messages) == (12, 12, 1)
        assert 0 < record.wait_seconds < record.seconds


@pytest.mark.parametrize(
    ("instructions", "outputs", "error", "message"),
    [
        ([Run(4, "to_live", ("z",), ("y",))], (), ProgramError, "step 4 on rank 0: tensor 'z' is not there"),
        ([Run(4, "to_live", ("x",), ("y", "z"))], (), KernelError, "expected 2 outputs, got 1"),
        ([], ("y",), ProgramError, "output 'y': expected a value at the end of the program, got nothing"),
        ([Run(0, "to_live", ("x",), ("y",))], ("y",), ProgramError, "got a live tensor"),
    ],
)
def test_program_that_cannot_be_run_is_refused(
    instructions: list[Instruction], outputs: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _single(instructions, {"x": np.ones((1, 1), np.float32)}, outputs)


def test_only_rank_0_is_fed_and_each_rank_has_a_slot() -> None:
    with pytest.raises(FeedError, match="rank 1: expected no inputs"):
        Machine(loaded_rank([], 1, 2), FakeChannel(FakeNetwork(), 0), (0, 1)).run({"x": np.ones(1)})
    for slots in ((0,), (0, 0)):
        with pytest.raises(ProgramError, match=r"expected one per rank \(2\), got \(0,"):
            Machine(loaded_rank([], 1, 2), FakeChannel(FakeNetwork(), 0), slots)


def test_views_of_one_buffer_are_counted_once() -> None:
    from engine.tensor_ops import held_bytes

    x = np.zeros(100, np.float32)
    held: list[Tensor] = [x, x[:50], x.reshape(10, 10).T, np.zeros(3, np.float32)]
    assert held_bytes(held) == 400 + 12
