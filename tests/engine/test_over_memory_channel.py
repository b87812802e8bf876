"""Machines over the real channel: real frames, chunks and inboxes, in threads of this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channels.config import ChannelConfig, ChannelHooks
from channels.memory import MemoryChannel, MemoryHub
from engine import LoadedRank, Machine
from engine.program import Exchange, Instruction, Run
from tests.engine.fleet import loaded_rank
from tests.engine.sparse_contract import Matrix, random_matrix
from tests.engine.test_overlap import worth_everything

_FEATURES, _LAYERS = 12, 4


class _Stop(Exception):
    """What the hook raises when time is up."""


def _sparse_network(size: int) -> tuple[list[LoadedRank], list[Matrix]]:
    """Sparse layers whose rows are split over the ranks in equal contiguous pieces, sent to whoever reads them."""
    rng = np.random.default_rng(size)
    matrices = [random_matrix(rng, _FEATURES, _FEATURES, 3) for _ in range(_LAYERS)]
    return [_rank(rank, size, matrices) for rank in range(size)], matrices


def _rank(rank: int, size: int, matrices: list[Matrix]) -> LoadedRank:
    group, weights = tuple(range(size)), {}
    owner = np.repeat(np.arange(size), [len(piece) for piece in np.array_split(range(_FEATURES), size)])
    steps: list[Instruction] = [Exchange(0, "broadcast", "x", "x", group), Run(1, "to_live", ("x",), ("y",))]
    for layer, matrix in enumerate(matrices):
        dense = matrix.scipy().toarray()
        reads = [np.flatnonzero((dense[owner == other] != 0).any(axis=0)) for other in range(size)]
        mine, held = np.flatnonzero(owner == rank), np.flatnonzero(owner == rank) if layer else np.arange(_FEATURES)
        if layer:
            send = [np.searchsorted(held, [row for row in rows if row in held]) for rows in reads]
            recv = [np.flatnonzero(owner[reads[rank]] == other) for other in group]
            for side, lists in (("send", send), ("recv", recv)):
                weights[f"m{layer}.{side}_ptr"] = np.cumsum([0, *map(len, lists)]).astype(np.int32)
                weights[f"m{layer}.{side}_rows"] = np.concatenate(lists).astype(np.int32)
            held = reads[rank]
            steps.append(Exchange(3 * layer, "rows", "y", "y", group, maps=f"m{layer}", rows=len(held)))
        rows = [np.flatnonzero(dense[row]) for row in mine]
        weights[f"p{layer}"] = np.cumsum([0, *map(len, rows)]).astype(np.int32)
        weights[f"i{layer}"] = np.concatenate([np.searchsorted(held, row) for row in rows]).astype(np.int32)
        weights[f"v{layer}"] = np.concatenate([dense[row, entry] for row, entry in zip(mine, rows, strict=True)])
        names = (f"p{layer}", f"i{layer}", f"v{layer}")
        attributes = {"bias": -0.1, "clip_min": 0.0, "clip_max": 32.0, "zero_preserving": True}
        steps.append(Run(3 * layer + 2, "sparse_layer", ("y",), ("y",), weights=names, attributes=attributes))
    steps.append(Exchange(90, "gather", "y", "y", group, axis=1))
    if rank == 0:
        steps.append(Run(91, "to_dense", ("y",), ("y",)))
    return loaded_rank(steps, rank, size, weights, ("y",))


def _expected(matrices: list[Matrix], x: NDArray[Any]) -> NDArray[Any]:
    y = x.astype(np.float64)
    for matrix in matrices:
        y = np.clip(y @ matrix.scipy().toarray().T - 0.1, 0, 32)
    return y


def _open(hub: MemoryHub, slot: int, size: int, check: Callable[[], None] = lambda: None) -> MemoryChannel:
    config = ChannelConfig("0" * 32, 0, 0, slot, size, b"k" * 32, time.monotonic() + 20, poll_s=0.05)
    return MemoryChannel(config, hub, hooks=ChannelHooks(check=check))


def _input() -> NDArray[np.float32]:
    return np.random.default_rng(9).standard_normal((30, _FEATURES)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_sparse_network_split_by_rows_answers_as_the_dense_one(size: int) -> None:
    loaded, matrices = _sparse_network(size)
    hub, x = MemoryHub(size, max_payload=100), _input()

    def work(rank: int) -> dict[str, Any]:
        machine = Machine(loaded[rank], _open(hub, rank, size), tuple(range(size)))
        return machine.run({"x": x} if rank == 0 else {})

    with ThreadPoolExecutor(size) as pool:
        answer = next(iter(pool.map(work, range(size))))["y"]
    np.testing.assert_allclose(answer, _expected(matrices, x), rtol=1e-4, atol=1e-5)
    assert 0 < np.count_nonzero(answer.any(axis=1)) < len(x)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_overlapping_ranks_answer_with_the_bits_of_those_that_finish_each_exchange_first(size: int) -> None:
    loaded, _ = _sparse_network(size)
    x, answers = _input(), []
    for overlap in (True, False):
        hub = MemoryHub(size, max_payload=100)

        def work(rank: int, hub: MemoryHub = hub, overlap: bool = overlap) -> dict[str, Any]:
            time.sleep(0.01 * rank)  # others wait
            machine = Machine(loaded[rank], _open(hub, rank, size), tuple(range(size)), overlap=overlap)
            return machine.run({"x": x} if rank == 0 else {})

        with worth_everything(), ThreadPoolExecutor(size) as pool:
            answers.append(next(iter(pool.map(work, range(size))))["y"].tobytes())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("wait", range(1, 5))
def test_rank_0_is_handed_over_inside_a_wait_with_its_state_and_inbox(wait: int) -> None:
    size, x = 3, _input()
    loaded, matrices = _sparse_network(size)
    hub, waits = MemoryHub(size), iter(range(1_000_000))

    def check() -> None:
        if next(waits) == wait:
            raise _Stop

    def rank_0() -> NDArray[Any]:
        old = _open(hub, 0, size, check)
        machine = Machine(loaded[0], old, (0, 1, 2))
        with pytest.raises(_Stop):
            machine.run({"x": x})
        new = _open(hub, 0, size)
        new.restore_inbox(old.save_inbox())
        answer: NDArray[Any] = Machine(loaded[0], new, (0, 1, 2), state=machine.state).run()["y"]
        return answer

    def other(rank: int) -> None:
        time.sleep(0.4)  # rank 0 waits for what is not there yet
        Machine(loaded[rank], _open(hub, rank, size), (0, 1, 2)).run()

    with ThreadPoolExecutor(size) as pool:
        answer = pool.submit(rank_0)
        others = [pool.submit(other, rank) for rank in (1, 2)]
        np.testing.assert_allclose(answer.result(), _expected(matrices, x), rtol=1e-4, atol=1e-5)
    assert all(future.exception() is None for future in others)
