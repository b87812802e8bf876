from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from channels.tags import Tag
from channels.tensors import LiveTensor, Tensor
from engine import rows as row_exchange
from engine.arriving import spread
from engine.errors import ExchangeError, ProgramError
from engine.port import Port
from engine.program import Exchange
from engine.row_maps import row_maps
from tests.engine.fleet import FakeChannel, FakeNetwork, exchange_all, loaded_rank, on_all_ranks
from tests.engine.live import dense_of, live, random_sparse_activation

Weights = dict[str, NDArray[Any]]


def _pack(name: str, lists: list[list[int]]) -> Weights:
    bounds = np.cumsum([0, *map(len, lists)])
    return {
        f"m.{name}_ptr": bounds.astype(np.int32),
        f"m.{name}_rows": np.array([row for rows in lists for row in rows], np.int32),
    }


def _maps(owned: list[list[int]], read: list[list[int]]) -> list[Weights]:
    """Maps of each rank: rank r owns the features owned[r], in that order, and wants read[r], in that order."""
    size = len(owned)
    maps = []
    for me in range(size):
        send = [[owned[me].index(f) for f in read[to] if f in owned[me]] for to in range(size)]
        recv = [[i for i, f in enumerate(read[me]) if f in owned[source]] for source in range(size)]
        maps.append({**_pack("send", send), **_pack("recv", recv)})
    return maps


def _placing(rows: int, size: int, **settings: Any) -> Exchange:
    return Exchange(3, "rows", "x", "y", tuple(range(size)), rows=rows, maps="m", **settings)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(0, 8), st.integers(0, 6), st.integers(0, 999), st.booleans())
def test_each_rank_gets_the_rows_it_reads(size: int, features: int, samples: int, seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    whole = random_sparse_activation(rng, samples, features)
    owners = rng.integers(0, size, features)
    owned = [rng.permutation(np.flatnonzero(owners == rank)).tolist() for rank in range(size)]
    read = [rng.permutation(features)[: rng.integers(0, features + 1)].tolist() for _ in range(size)]
    inputs: list[Tensor | None] = [live(whole[:, rows]) if sparse else whole[:, rows] for rows in owned]
    exchanges = [_placing(len(rows), size, axis=1) for rows in read]
    for output, rows in zip(exchange_all(exchanges, inputs, _maps(owned, read)), read, strict=True):
        np.testing.assert_array_equal(dense_of(output), whole[:, rows])
        if isinstance(output, LiveTensor):
            assert output.values.shape[1] == np.count_nonzero(whole[:, rows].any(axis=1))


def _all_to_owner(size: int, features: int) -> list[Weights]:
    """Every rank holds all features and sends to each rank those that it will own."""
    owned = np.array_split(np.arange(features), size)
    send = _pack("send", [rows.tolist() for rows in owned])
    return [{**send, **_pack("recv", [list(range(len(owned[me])))] * size)} for me in range(size)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 8), st.integers(0, 999), st.booleans())
def test_partial_sums_are_added_in_group_order(size: int, features: int, seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    partials = [random_sparse_activation(rng, 5, features) * np.float32(10**i) for i in range(size)]
    total = np.zeros((5, features), np.float32)
    for partial in partials:
        total += partial
    inputs: list[Tensor | None] = [live(partial) if sparse else partial for partial in partials]
    pieces = np.array_split(total, size, axis=1)
    exchanges = [_placing(piece.shape[1], size, axis=1, reduce="sum") for piece in pieces]
    for output, piece in zip(exchange_all(exchanges, inputs, _all_to_owner(size, features)), pieces, strict=True):
        assert dense_of(output).tobytes() == np.ascontiguousarray(piece).tobytes()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(2, 12), st.integers(0, 999), st.sampled_from([32.0, np.nan, np.inf, 0.0]))
def test_rows_that_are_one_in_memory_are_placed_like_any_others(
    size: int, features: int, seed: int, value: float
) -> None:
    """What has one value comes as a view of one element; some ranks have other samples, so that columns move."""
    rng = np.random.default_rng(seed)
    owners = np.concatenate([np.arange(size), rng.integers(0, size, features)])
    owned = [np.flatnonzero(owners == rank).tolist() for rank in range(size)]
    read = [rng.permutation(owners.size)[: rng.integers(1, owners.size + 1)].tolist() for _ in range(size)]
    samples = [np.sort(rng.permutation(6)[: rng.integers(1, 7)]).astype(np.int32) for _ in range(size)]
    values = [np.ndarray((len(o), s.size), np.float32, np.float32(value).tobytes(), strides=(0, 0))
              for o, s in zip(owned, samples, strict=True)]  # fmt: skip
    given_views = [LiveTensor(v, s, 6) for v, s in zip(values, samples, strict=True)]
    given_copies = [LiveTensor(v.copy(), s, 6) for v, s in zip(values, samples, strict=True)]
    exchanges = [_placing(len(rows), size, axis=1) for rows in read]
    views, copies = (
        exchange_all(exchanges, list(inputs), _maps(owned, read)) for inputs in (given_views, given_copies)
    )
    for view, copy in zip(views, copies, strict=True):
        np.testing.assert_array_equal(dense_of(view), dense_of(copy))


def test_nothing_is_sent_where_the_maps_say_no_rows_and_an_empty_message_where_all_samples_are_dead() -> None:
    owned, read = [[0], [1], [2]], [[0, 1], [1], [2]]
    dead = np.zeros((4, 3), np.float32)
    network = FakeNetwork()
    inputs: list[Tensor | None] = [live(dead[:, rows]) for rows in owned]
    outputs = exchange_all([_placing(len(rows), 3) for rows in read], inputs, _maps(owned, read), network)
    assert [(source, to) for source, to, _ in network.sends] == [(1, 2)]  # slot of rank r is 2 - r: rank 1 to rank 0
    np.testing.assert_array_equal(dense_of(outputs[0]), dead[:, :2])


def test_only_samples_that_are_live_in_the_rows_sent_travel() -> None:
    whole = np.array([[1, 0], [0, 2], [0, 0]], np.float32)
    network = FakeNetwork()
    exchanges = [_placing(0, 2), _placing(1, 2)]
    exchange_all(exchanges, [live(whole), live(whole[:, :0])], _maps([[0, 1], []], [[], [1]]), network)
    (sent,) = network.messages.values()
    assert isinstance(sent, LiveTensor)
    assert sent.samples.tolist() == [1]
    assert sent.values.tolist() == [[2]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sample_with_nan_or_inf_in_a_row_left_out_arrives_as_nan(bad: float) -> None:
    whole = np.array([[bad, 1], [0, 2]], np.float32)
    outputs = exchange_all(
        [_placing(2, 2), _placing(1, 2)], [live(whole), live(whole[:, :0])], _maps([[0, 1], []], [[0, 1], [1]])
    )
    np.testing.assert_array_equal(dense_of(outputs[0]), whole)
    np.testing.assert_array_equal(dense_of(outputs[1]), np.array([[np.nan], [2]], np.float32))


@pytest.mark.parametrize("sparse", [True, False])
def test_rows_that_are_not_kept_leave_nothing_behind(sparse: bool) -> None:
    whole = np.array([[1, 2, 0], [0, 4, 0], [5, 0, 0]], np.float32)
    maps = [{**_pack("send", [[0, 1, 2], [0, 1, 2]]), **_pack("recv", [[-1, 0, 1], []])}]
    maps.append({**_pack("send", [[], []]), **_pack("recv", [[1, -1, 0], []])})
    inputs: list[Tensor | None] = [live(whole), live(whole[:, :0])] if sparse else [whole, whole[:, :0]]
    outputs = exchange_all([_placing(2, 2, axis=1), _placing(2, 2, axis=1)], inputs, maps)
    np.testing.assert_array_equal(dense_of(outputs[0]), whole[:, [1, 2]])
    np.testing.assert_array_equal(dense_of(outputs[1]), whole[:, [2, 0]])
    if isinstance(outputs[1], LiveTensor):
        assert outputs[1].samples.tolist() == [0, 2]  # the second sample is alive in the dropped row alone


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sample_with_nan_or_inf_in_a_row_that_is_not_kept_is_nan(bad: float) -> None:
    whole = np.array([[bad, 1], [0, 2]], np.float32)
    maps = [{**_pack("send", [[0, 1], [0, 1]]), **_pack("recv", [[0, 1], []])}]
    maps.append({**_pack("send", [[], []]), **_pack("recv", [[-1, 0], []])})
    outputs = exchange_all([_placing(2, 2), _placing(1, 2)], [live(whole), live(whole[:, :0])], maps)
    np.testing.assert_array_equal(dense_of(outputs[1]), np.array([[np.nan], [2]], np.float32))


def test_rows_of_another_kind_or_number_are_refused() -> None:
    maps = _maps([[0], [1]], [[0, 1], []])
    for other in (np.ones((3, 1), np.float32), live(np.ones((4, 1), np.float32)), live(np.ones((3, 1)))):
        with pytest.raises(ExchangeError, match="from rank 1"):
            exchange_all([_placing(2, 2), _placing(0, 2)], [live(np.ones((3, 1), np.float32)), other], maps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m.send_ptr": np.array([0, 2], np.int32)}, "expected int32 \\[3\\]"),
        ({"m.send_ptr": np.array([0, 2, 1], np.int32)}, "expected bounds from 0"),
        ({"m.recv_ptr": np.array([1, 1, 1], np.int32)}, "expected bounds from 0"),
        ({"m.send_rows": np.array([-1], np.int32)}, "rows >= 0"),
        ({"m.recv_rows": np.array([-2], np.int32)}, "rows >= -1"),
        ({"m.recv_rows": np.array([5], np.int32)}, "different rows below 2"),
        ({"m.recv_rows": np.array([0.5])}, "int32 rows"),
        ({"m.recv_ptr": np.array([0, 2, 2], np.int32), "m.recv_rows": np.array([0, 0], np.int32)}, "different rows"),
    ],
)
def test_maps_that_would_read_or_write_elsewhere_are_refused(changes: Weights, message: str) -> None:
    good = {**_pack("send", [[0], []]), **_pack("recv", [[0], []])}
    row_maps(_placing(2, 2), good)
    with pytest.raises(ProgramError, match=message):
        row_maps(_placing(2, 2), {**good, **changes})


def test_missing_maps_and_rows_beyond_the_input_are_refused() -> None:
    with pytest.raises(ProgramError, match=r"m.send_ptr.* is not in the shard"):
        loaded_rank([]).maps(_placing(1, 1))
    maps = {**_pack("send", [[4]]), **_pack("recv", [[0]])}
    with pytest.raises(ProgramError, match="send_rows reach 4 of 1 rows"):
        exchange_all([_placing(1, 1)], [live(np.ones((2, 1)))], [maps])


@pytest.mark.parametrize("sparse", [True, False])
def test_rank_without_rows_gets_those_it_reads(sparse: bool) -> None:
    whole = random_sparse_activation(np.random.default_rng(0), 7, 6)
    read = [[], [4, 1], [0, 1, 2]]
    inputs: list[Tensor | None] = [live(whole) if sparse else whole, None, None]
    exchanges = [
        replace(_placing(len(rows), 3, axis=1), input="x" if rank == 0 else "") for rank, rows in enumerate(read)
    ]
    outputs = exchange_all(exchanges, inputs, _maps([list(range(6)), [], []], read))
    for output, rows in zip(outputs, read, strict=True):
        np.testing.assert_array_equal(dense_of(output), whole[:, rows])


def test_rank_that_neither_holds_nor_gets_rows_is_a_program_error() -> None:
    maps = _maps([[0], []], [[0], []])
    whole = np.ones((2, 1), np.float32)
    with pytest.raises(ProgramError, match="neither"):
        exchange_all([_placing(1, 2), replace(_placing(0, 2), input="")], [whole, None], maps)


def test_input_that_is_due_and_not_there_is_a_program_error() -> None:
    maps = _maps([[0], [1]], [[0], [0]])
    with pytest.raises(ProgramError, match="'x' is not there"):
        exchange_all([_placing(1, 2)] * 2, [np.ones((2, 1), np.float32), None], maps)


class _Watched:
    """Stands where a channel does: brings parts of two rows, and notes of what goes through it what is still held."""

    def __init__(self, sources: list[int]) -> None:
        self.sources = sources
        self.values: list[weakref.ref[NDArray[Any]]] = []
        self.most_sent = 0

    @property
    def held(self) -> int:
        return sum(ref() is not None for ref in self.values)

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        refs = []
        for _, _, tensor in messages:
            assert isinstance(tensor, LiveTensor)
            refs.append(weakref.ref(tensor.values))
            self.most_sent = max(self.most_sent, sum(ref() is not None for ref in refs))

    def has_arrived(self, *_: object) -> bool:
        return False

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        """Nobody hands on."""

    def hand_on(self, tag: Tag) -> None:
        """Nobody hands on."""

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        values = np.full((2, 3), len(self.values) + 1, np.float32)
        self.values.append(weakref.ref(values))
        return (*pairs[0], LiveTensor(values, np.arange(3, dtype=np.int32), 3))


def test_no_part_is_held_after_it_was_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4
    channel, held = _Watched(list(range(1, size))), []

    def noting(part: LiveTensor, samples: NDArray[np.int32]) -> NDArray[np.generic]:
        held.append(channel.held)
        return spread(part, samples)

    monkeypatch.setattr("engine.rows.spread", noting)
    maps = {**_pack("send", [[0, 1], [1], [0], [1]]), **_pack("recv", [[2 * i, 2 * i + 1] for i in range(size)])}
    exchange = _placing(2 * size, size)
    value = LiveTensor(np.full((2, 3), 9, np.float32), np.arange(3, dtype=np.int32), 3)
    port = Port(channel, list(range(size)), 0, 3)
    output = row_exchange.exchange_rows(exchange, value, port, row_maps(exchange, maps))
    assert held == [3, 3, 2, 1]  # the own part first, then one less each time
    assert channel.most_sent <= 2
    np.testing.assert_array_equal(dense_of(output)[0], [9, 9, 1, 1, 2, 2, 3, 3])


def test_a_part_of_which_few_rows_are_read_is_not_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = _Watched([1])
    held: list[int] = []
    placed = row_exchange._placed

    def noting(*given: Any) -> Tensor:
        held.append(channel.held)
        return placed(*given)

    monkeypatch.setattr(row_exchange, "_placed", noting)
    exchange = _placing(1, 2)
    maps = {**_pack("send", [[], []]), **_pack("recv", [[], [0, -1]])}
    output = row_exchange.exchange_rows(exchange, None, Port(channel, [0, 1], 0, 3), row_maps(exchange, maps))
    assert held == [0]
    np.testing.assert_array_equal(dense_of(output), np.ones((3, 1)))


class _Roles(FakeChannel):
    """Notes what is called, in order; slots of a group of three are 2 - rank."""

    def __init__(self, network: FakeNetwork, slot: int) -> None:
        super().__init__(network, slot)
        self.calls: list[tuple[object, ...]] = []

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        assert on == ("object",)
        self.calls.append(("relay", tag.step, slot, *sources))

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        self.calls.append(("send",))
        super().send_many(messages)

    def hand_on(self, tag: Tag) -> None:
        self.calls.append(("hand on", tag.step))

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        self.calls.append(("receive",))
        return super().recv_any(pairs)


def _calls(relay: int, owned: list[list[int]], read: list[list[int]]) -> list[list[tuple[object, ...]]]:
    """What three ranks call, rank 2 knowing the senders, as in programs."""
    network, slots = FakeNetwork(), [2, 1, 0]
    whole, maps = np.ones((2, 6), np.float32), _maps(owned, read)
    channels = [_Roles(network, slot) for slot in slots]
    senders = [(), (), (0, 1) if relay >= 0 else ()]

    def work(rank: int) -> list[tuple[object, ...]]:
        exchange = _placing(len(read[rank]), 3, axis=1, relay=relay, relay_on=("object",), senders=senders[rank])
        port = Port(channels[rank], slots, rank, 3)
        row_exchange.exchange_rows(exchange, live(whole[:, owned[rank]]), port, row_maps(exchange, maps[rank]))
        return channels[rank].calls

    return on_all_ranks(3, work, network)


def test_ranks_name_the_relay_send_hand_on_and_receive_in_this_order() -> None:
    every = [[0, 1], [2, 3], [4, 5]]
    first, second, last = _calls(2, every, [[0, 2, 4], [1, 3, 5], [0, 3, 4]])
    assert first == second == [("relay", 3, 0), ("send",), ("receive",), ("receive",)]
    assert last == [("relay", 3, 0, 2, 1), ("send",), ("hand on", 3), ("receive",), ("receive",)]


def test_a_rank_that_has_nothing_to_send_or_read_hands_on_all_the_same() -> None:
    first, second, last = _calls(2, [[0, 1], [2, 3], [4, 5]], [[0, 2], [1, 3], [4]])
    assert first == second == [("relay", 3, 0), ("send",), ("receive",)]
    assert last == [("relay", 3, 0, 2, 1), ("hand on", 3)]


def test_without_a_relay_nobody_hands_on() -> None:
    for calls in _calls(-1, [[0, 1], [2, 3], [4, 5]], [[0, 2], [1, 3], [0, 5]]):
        assert {call[0] for call in calls} <= {"send", "receive"}
