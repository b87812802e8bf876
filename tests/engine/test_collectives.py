from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from channels.tensors import LiveTensor, Tensor
from engine.errors import ExchangeError, ProgramError
from engine.program import Exchange, ExchangeKind
from engine.split import DIRECT_REDUCE_BYTES, split_bounds
from tests.engine.fleet import FakeNetwork, exchange_all
from tests.engine.live import dense_of, live, random_sparse_activation

_SIZES = st.integers(1, 5)
_DTYPES = st.sampled_from([np.float32, np.float16, np.int64, np.bool_, ml_dtypes.bfloat16])


def _exchange(kind: ExchangeKind, size: int, **settings: Any) -> list[Exchange]:
    return [Exchange(7, kind, "x", "y", tuple(range(size)), **settings)] * size


def _array(seed: int, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 5, shape).astype(dtype)


@settings(max_examples=25, deadline=None)
@given(_SIZES, st.integers(0, 7), st.integers(-3, 2), _DTYPES, st.data())
def test_gather_undoes_scatter(size: int, length: int, axis: int, dtype: Any, data: st.DataObject) -> None:
    root = data.draw(st.integers(0, size - 1))
    shape = [2, 3, 2]
    shape[axis] = length
    whole = _array(1, tuple(shape), dtype)
    scatter = _exchange("scatter", size, axis=axis, root=root)
    pieces = exchange_all(scatter, [whole if rank == root else None for rank in range(size)])
    for piece, expected in zip(pieces, np.array_split(whole, size, axis=axis), strict=True):
        np.testing.assert_array_equal(dense_of(piece), expected)
    gathered = exchange_all(_exchange("gather", size, axis=axis, root=root), pieces)
    np.testing.assert_array_equal(dense_of(gathered[root]), whole)
    assert [part is None for part in gathered] == [rank != root for rank in range(size)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 1), _DTYPES)
def test_all_gather_joins_uneven_and_empty_parts_in_group_order(lengths: list[int], axis: int, dtype: Any) -> None:
    parts = [_array(i, (n, 2) if axis == 0 else (2, n), dtype) for i, n in enumerate(lengths)]
    group = tuple(reversed(range(len(parts))))
    exchange = replace(_exchange("all_gather", len(parts), axis=axis)[0], group=group)
    expected = np.concatenate([parts[rank] for rank in group], axis=axis)
    for output in exchange_all([exchange] * len(parts), list(parts)):
        np.testing.assert_array_equal(dense_of(output), expected)


@settings(max_examples=20, deadline=None)
@given(_SIZES, st.sampled_from([(), (3,), (0, 2), (DIRECT_REDUCE_BYTES // 4 + 3,), (3, 7001)]))
def test_all_reduce_adds_in_group_order_and_gives_all_ranks_the_same_bits(size: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(size)
    parts = [rng.standard_normal(shape).astype(np.float32) * 10.0**i for i in range(size)]
    group = (*range(1, size), 0)
    exchange = replace(_exchange("all_reduce", size, reduce="sum")[0], group=group)
    expected = parts[group[0]]
    for rank in group[1:]:
        expected = np.asarray(expected + parts[rank])
    for output in exchange_all([exchange] * size, [np.asarray(part) for part in parts]):
        assert dense_of(output).tobytes() == expected.tobytes()
        assert dense_of(output).shape == shape


@pytest.mark.parametrize(
    ("reduce", "expected"), [("max", [3, 5]), ("min", [1, 0]), ("prod", [6, 0]), ("mean", [2, 2]), ("sum", [6, 6])]
)
def test_all_reduce_knows_every_reduction(reduce: str, expected: list[int]) -> None:
    parts = [np.array(values, np.float32) for values in ([1, 0], [2, 5], [3, 1])]
    for output in exchange_all(_exchange("all_reduce", 3, reduce=reduce), list(parts)):
        np.testing.assert_array_equal(dense_of(output), np.array(expected, np.float32))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats_are_accumulated_in_float32(dtype: Any) -> None:
    parts = [np.array([value]).astype(dtype) for value in (256, 0.5, 0.5, 0.5, 0.5)]
    for output in exchange_all(_exchange("all_reduce", 5, reduce="sum"), list(parts)):
        assert dense_of(output).dtype == dtype
        assert dense_of(output).astype(float).tolist() == [258]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_reduce_leaves_the_sum_on_the_root_alone(size: int) -> None:
    parts = [_array(i, (2, 3)) for i in range(size)]
    outputs = exchange_all(_exchange("reduce", size, root=size - 1, reduce="sum"), list(parts))
    np.testing.assert_array_equal(dense_of(outputs[-1]), sum(parts))
    assert outputs[:-1] == [None] * (size - 1)


@settings(max_examples=15, deadline=None)
@given(_SIZES, st.integers(0, 6))
def test_reduce_scatter_gives_each_rank_its_piece_of_the_sum(size: int, length: int) -> None:
    parts = [_array(i, (2, length)) for i in range(size)]
    outputs = exchange_all(_exchange("reduce_scatter", size, axis=-1, reduce="sum"), list(parts))
    for output, expected in zip(outputs, np.array_split(sum(parts), size, axis=1), strict=True):
        np.testing.assert_array_equal(dense_of(output), expected)


@settings(max_examples=15, deadline=None)
@given(_SIZES, st.integers(0, 6), st.integers(0, 6))
def test_all_to_all_moves_the_split_from_one_axis_to_another(size: int, rows: int, columns: int) -> None:
    whole = _array(3, (rows, columns))
    inputs = np.array_split(whole, size, axis=0)
    outputs = exchange_all(_exchange("all_to_all", size, axis=1, join_axis=0), list(inputs))
    for output, expected in zip(outputs, np.array_split(whole, size, axis=1), strict=True):
        np.testing.assert_array_equal(dense_of(output), expected)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_broadcast_gives_all_ranks_the_roots_tensor(size: int) -> None:
    for value in (np.float32(3) * np.ones(()), np.array(["a", "bc"], object), live(_array(0, (3, 2)))):
        inputs = [value if rank == size - 1 else None for rank in range(size)]
        for output in exchange_all(_exchange("broadcast", size, root=size - 1), inputs):
            np.testing.assert_array_equal(dense_of(output), dense_of(value))


def test_send_and_recv_move_one_tensor() -> None:
    value = _array(0, (2, 2))
    exchanges = [Exchange(1, "recv", "", "y", (0, 1), root=1), Exchange(1, "send", "x", "", (0, 1), root=0)]
    outputs = exchange_all(exchanges, [None, value])
    np.testing.assert_array_equal(dense_of(outputs[0]), value)
    assert outputs[1] is None


@settings(max_examples=25, deadline=None)
@given(_SIZES, st.integers(0, 9), st.integers(1, 4), st.integers(0, 1), st.integers(0, 99))
def test_live_tensors_are_scattered_and_gathered_by_sample_and_by_feature(
    size: int, samples: int, features: int, axis: int, seed: int
) -> None:
    whole = random_sparse_activation(np.random.default_rng(seed), samples, features)
    pieces = exchange_all(_exchange("scatter", size, axis=axis), [live(whole), *[None] * (size - 1)])
    for piece, expected in zip(pieces, np.array_split(whole, size, axis=axis), strict=True):
        np.testing.assert_array_equal(dense_of(piece), expected)
    for output in exchange_all(_exchange("all_gather", size, axis=axis), pieces):
        assert isinstance(output, LiveTensor)
        np.testing.assert_array_equal(dense_of(output), whole)
    np.testing.assert_array_equal(dense_of(exchange_all(_exchange("gather", size, axis=axis), pieces)[0]), whole)


def test_own_piece_does_not_keep_the_whole_alive() -> None:
    whole = _array(0, (8, 2))
    piece = exchange_all(_exchange("scatter", 2), [whole, None])[0]
    assert not np.shares_memory(dense_of(piece), whole)


def test_pieces_follow_split_bounds() -> None:
    pieces = exchange_all(_exchange("scatter", 3), [np.arange(7.0), None, None])
    assert [dense_of(piece).tolist() for piece in pieces] == [list(range(*bounds)) for bounds in split_bounds(7, 3)]


@settings(max_examples=25, deadline=None)
@given(_SIZES, st.integers(1, 4), st.integers(1, 3), st.integers(0, 5), st.integers(-3, 2))
def test_gather_undoes_scatter_of_units_in_blocks(size: int, unit: int, blocks: int, units: int, axis: int) -> None:
    shape = [2, 3, 2]
    shape[axis] = unit * units * blocks
    whole = _array(1, tuple(shape))
    ways = {"axis": axis, "unit": unit, "blocks": blocks}
    pieces = exchange_all(_exchange("scatter", size, **ways), [whole, *[None] * (size - 1)])
    for rank, piece in enumerate(pieces):
        low, high = split_bounds(unit * units, size, unit)[rank]
        own = [i for i in range(shape[axis]) if low <= i % (unit * units) < high]
        np.testing.assert_array_equal(dense_of(piece), whole.take(own, axis))
    gathered = exchange_all(_exchange("all_gather", size, **ways), pieces)
    assert all(np.array_equal(dense_of(part), whole) for part in gathered)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(1, 3), st.integers(1, 3))
def test_dealt_pieces_are_scattered_summed_and_put_together(deal: list[int], unit: int, blocks: int) -> None:
    size, block = len(deal), unit * sum(deal)
    whole = _array(1, (2, block * blocks))
    ways: dict[str, Any] = {"axis": 1, "unit": unit, "blocks": blocks, "deal": tuple(deal)}
    pieces = exchange_all(_exchange("scatter", size, **ways), [whole, *[None] * (size - 1)])
    for piece, (low, high) in zip(pieces, split_bounds(block, size, unit, deal), strict=True):
        np.testing.assert_array_equal(dense_of(piece), whole.reshape(2, blocks, -1)[:, :, low:high].reshape(2, -1))
    summed = exchange_all(_exchange("reduce_scatter", size, reduce="sum", **ways), [whole] * size)
    for part, piece in zip(summed, pieces, strict=True):
        np.testing.assert_array_equal(dense_of(part), size * dense_of(piece))
    gathered = exchange_all(_exchange("all_gather", size, axis=1, blocks=blocks), pieces)
    assert all(np.array_equal(dense_of(part), whole) for part in gathered)


@settings(max_examples=15, deadline=None)
@given(_SIZES, st.integers(1, 3), st.integers(1, 3))
def test_all_to_all_turns_units_of_one_axis_into_blocks_of_another(size: int, unit: int, blocks: int) -> None:
    whole = _array(2, (unit * 5, blocks * 4))
    rows, columns = {"axis": 0, "unit": unit}, {"axis": 1, "blocks": blocks}
    of_rows = exchange_all(_exchange("scatter", size, **rows), [whole, *[None] * (size - 1)])
    of_columns = exchange_all(_exchange("scatter", size, **columns), [whole, *[None] * (size - 1)])
    to_columns = exchange_all(_exchange("all_to_all", size, **columns, join_axis=0), of_rows)
    to_rows = exchange_all(_exchange("all_to_all", size, **rows, join_axis=1, join_blocks=blocks), of_columns)
    for got, want in zip((*to_columns, *to_rows), (*of_columns, *of_rows), strict=True):
        np.testing.assert_array_equal(dense_of(got), dense_of(want))


def test_only_needed_messages_are_sent() -> None:
    network = FakeNetwork()
    exchange_all(_exchange("gather", 4, root=2), [_array(i, (1,)) for i in range(4)], network=network)
    assert len(network.sends) == 3


@pytest.mark.parametrize(
    ("exchange", "inputs", "error", "message"),
    [
        (Exchange(1, "gather", "x", "y", (0,)), [None], ProgramError, "input 'x' is not there"),
        (Exchange(1, "gather", "x", "y", (0,), axis=3), [np.zeros(2)], None, ""),
        (Exchange(1, "scatter", "x", "y", (0,), axis=3), [np.zeros(2)], ExchangeError, "got 3"),
        (Exchange(1, "scatter", "x", "y", (0,)), [np.zeros(())], ExchangeError, "tensor of 0 axes"),
        (Exchange(1, "all_reduce", "x", "y", (0,), reduce="xor"), [np.zeros(2)], ProgramError, "got 'xor'"),
        (Exchange(1, "all_reduce", "x", "y", (0,), reduce="sum"), [live(np.ones((2, 2)))], ExchangeError, "live"),
        (Exchange(1, "halo", "x", "y", (0,)), [np.zeros(2)], ProgramError, "got 'halo'"),
        (Exchange(1, "scatter", "x", "y", (0,), unit=2), [np.zeros(3)], ExchangeError, "whole units"),
        (Exchange(1, "scatter", "x", "y", (0,), blocks=2), [np.zeros(3)], ExchangeError, "2 equal blocks"),
        (Exchange(1, "rows", "x", "y", (0,), maps="m"), [np.zeros(2)], ProgramError, "index maps 'm'"),
    ],
)
def test_what_cannot_be_exchanged_is_refused(
    exchange: Exchange, inputs: list[Any], error: type[Exception] | None, message: str
) -> None:
    if error is None:  # one part alone is joined with nothing
        np.testing.assert_array_equal(dense_of(exchange_all([exchange], inputs)[0]), inputs[0])
        return
    with pytest.raises(error, match=message):
        exchange_all([exchange], inputs)


@pytest.mark.parametrize("kind", ["all_gather", "all_reduce", "all_to_all"])
@pytest.mark.parametrize("other", [np.zeros((2, 3), np.float32), np.zeros((2, 2)), np.zeros((3, 2), np.int32)])
def test_part_that_does_not_fit_the_others_is_refused(kind: ExchangeKind, other: Any) -> None:
    with pytest.raises(ExchangeError):
        exchange_all(_exchange(kind, 2, reduce="sum"), [np.zeros((2, 2), np.float32), other])


def test_live_part_among_dense_ones_is_refused() -> None:
    inputs: list[Tensor | None] = [np.zeros((2, 2), np.float32), live(np.ones((2, 2), np.float32))]
    with pytest.raises(ExchangeError, match=r"expected a (dense|live) tensor, got a"):
        exchange_all(_exchange("all_gather", 2), inputs)


def test_hostile_live_tensor_is_refused_on_arrival() -> None:
    values = np.ones((2, 2), np.float32)
    for samples, total in (([0, 9], 3), ([1, 0], 3), ([-1, 0], 3), ([0], 3), ([0, 0], 3)):
        bad = LiveTensor(values, np.array(samples, np.int32), total)
        with pytest.raises(ExchangeError, match="live tensor"):
            exchange_all(_exchange("broadcast", 2), [bad, None])
