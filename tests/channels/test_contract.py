"""What every channel promises, on every transport; the cloud's are real services in the embedded cloud."""

from __future__ import annotations

import json
import random
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from channels.base import Channel
from channels.codec import Codec
from channels.config import ChannelConfig, ChannelHooks
from channels.errors import ChannelTimeout, ConfigError, Fenced, FrameError, RunAborted
from channels.frame import Frame, Header, pack_frame, run_tag
from channels.tags import ASSIGN, HELLO, Tag
from channels.tensors import LiveTensor, Tensor
from tests.channels.conftest import SLOTS, Harness

pytestmark = pytest.mark.timeout(60)


class Interrupted(Exception):
    """Raised by a hook of a test."""


def numbers(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def assert_same(got: Tensor, expected: NDArray[np.generic]) -> None:
    assert isinstance(got, np.ndarray)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def signed(config: ChannelConfig, source: int, dst: int, tag: Tag, array: NDArray[np.generic]) -> bytes:
    """Make the frame that `source`, with the identity of `config`, would send."""
    payload = Codec(1 << 20).encode(array)
    header = Header(run_tag(config.run_id), config.attempt, config.epoch, tag, source, dst, 0, 1, len(payload))
    return pack_frame(Frame(header, payload), config.mac_key)


def inject(harness: Harness, as_: ChannelConfig, tag: Tag, array: NDArray[np.generic], source: int = 0) -> None:
    """Leave a frame for slot 1 where slot 1 of this run looks, whoever it claims to be of."""
    data = signed(as_, source, 1, tag, array)
    harness.inject(harness.config(1), (source, tag.step, tag.micro_batch), 1, data)


def test_a_tensor_arrives_as_it_was_sent(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    a.send(1, Tag(3), numbers(4, 5))
    assert_same(b.recv(0, Tag(3)), numbers(4, 5))


def test_messages_are_found_in_whatever_order_they_are_asked_for(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    a.send_many([(1, Tag(step), numbers(3, seed=step)) for step in range(25)])
    for step in reversed(range(25)):
        assert_same(b.recv(0, Tag(step)), numbers(3, seed=step))


def test_fifty_tags_between_three_slots_do_not_mix(harness: Harness) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]
    messages = [(i % 3, (i + 1 + i % 2) % 3, Tag(i // 5, i % 5)) for i in range(50)]
    for slot, end in enumerate(ends):
        mine = [
            (dst, tag, numbers(7, seed=tag.step * 5 + tag.micro_batch)) for src, dst, tag in messages if src == slot
        ]
        end.send_many(mine)
    random.Random(0).shuffle(messages)
    for src, dst, tag in messages:
        assert_same(ends[dst].recv(src, tag), numbers(7, seed=tag.step * 5 + tag.micro_batch))


def test_recv_any_returns_each_message_of_several_sources(harness: Harness) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]
    for source in (1, 2):
        ends[source].send(0, Tag(4), np.full(3, source))
    left = [(1, Tag(4)), (2, Tag(4))]
    while left:
        src, tag, tensor = ends[0].recv_any(left)
        assert_same(tensor, np.full(3, src))
        left.remove((src, tag))


def test_large_messages_arrive_whole(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    noise = np.random.default_rng(1).integers(0, 256, 2_000_000, dtype=np.uint8)
    a.send(1, Tag(1), noise)
    assert_same(b.recv(0, Tag(1)), noise)
    assert (a.stats.frames_sent > 8) == (harness.name not in ("object", "hybrid"))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 4)])
def test_empty_and_scalar_tensors_keep_their_shape(harness: Harness, shape: tuple[int, ...]) -> None:
    a, b = harness.open(0), harness.open(1)
    a.send(1, Tag(1), np.zeros(shape, dtype=np.int64))
    assert_same(b.recv(0, Tag(1)), np.zeros(shape, dtype=np.int64))


def test_bfloat16_strings_and_bools_travel(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    half = numbers(5).astype(ml_dtypes.bfloat16)
    text = np.array([["a", "é"], ["", "漢字"]], dtype=object)
    flags = numbers(9) > 0.5
    a.send_many([(1, Tag(1), half), (1, Tag(2), text), (1, Tag(3), flags)])
    assert_same(b.recv(0, Tag(1)), half)
    strings = b.recv(0, Tag(2))
    assert isinstance(strings, np.ndarray)
    assert strings.tolist() == text.tolist()
    assert_same(b.recv(0, Tag(3)), flags)


def test_live_tensors_keep_values_samples_and_total(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    live = LiveTensor(numbers(8, 4), np.array([0, 7, 8, 999], dtype=np.int32), 1000)
    a.send(1, Tag(1), live)
    got = b.recv(0, Tag(1))
    assert isinstance(got, LiveTensor)
    assert_same(got.values, live.values)
    assert_same(got.samples, live.samples)
    assert got.total == 1000


def dying(step: int) -> LiveTensor:
    """Of 900 samples, fewer live at each step; from step 4 on they stay the same."""
    samples = np.flatnonzero(np.random.default_rng(0).random(900) < 0.5 - 0.1 * min(step, 4)).astype(np.int32)
    return LiveTensor(np.full((5, samples.size), step, np.float32), samples, 900)


def assert_dying(got: Tensor, step: int) -> None:
    assert isinstance(got, LiveTensor)
    assert_same(got.samples, dying(step).samples)
    assert_same(got.values, dying(step).values)


@pytest.mark.parametrize("order", [tuple(range(8)), tuple(range(7, -1, -1)), (0, 7, 1, 3, 2, 6, 4, 5)], ids=str)
def test_live_samples_are_known_in_whatever_order_they_are_asked_for(harness: Harness, order: tuple[int, ...]) -> None:
    a, b = harness.open(0), harness.open(1)
    for step in range(8):
        a.send(1, Tag(step), dying(step))
    for step in order:
        assert_dying(b.recv(0, Tag(step)), step)
        assert_dying(b.recv(0, Tag(step)), step)


def test_live_samples_are_sent_once(harness: Harness) -> None:
    a = harness.open(0)
    sizes = []
    for step in range(8):
        before = a.stats.bytes_sent
        a.send(1, Tag(step), dying(step))
        sizes.append(a.stats.bytes_sent - before)
    assert sizes[7] < 60 < sizes[0]


def test_successors_of_both_sides_know_the_samples_that_they_need(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    for step in (4, 5):
        a.send(1, Tag(step), dying(step))
    assert_dying(b.recv(0, Tag(4)), 4)
    successor = harness.open(1)
    successor.restore_inbox(b.save_inbox())
    a.send(1, Tag(6), dying(6))
    for step in (6, 5):
        assert_dying(successor.recv(0, Tag(step)), step)
    harness.open(0).send(1, Tag(7), dying(7))
    assert_dying(successor.recv(0, Tag(7)), 7)


def test_control_messages_are_json(harness: Harness) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]
    for source in (1, 2):
        ends[source].send_json(0, Tag(HELLO), {"slot": source, "held": ["é"]})
    left = [(1, Tag(HELLO)), (2, Tag(HELLO))]
    while left:
        src, tag, value = ends[0].recv_json_any(left)
        assert value == {"slot": src, "held": ["é"]}
        left.remove((src, tag))
    ends[0].send_json(1, Tag(ASSIGN), [1, 2])
    assert ends[1].recv_json(0, Tag(ASSIGN)) == [1, 2]


def test_a_message_sent_twice_is_received_once(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    for _ in range(2):
        a.send(1, Tag(1), numbers(3))
        a.send(1, Tag(2), numbers(4))
    assert_same(b.recv(0, Tag(1)), numbers(3))
    assert_same(b.recv(0, Tag(2)), numbers(4))
    a.send(1, Tag(3), numbers(5))
    assert_same(b.recv(0, Tag(3)), numbers(5))
    assert b.stats.frames_received == 3


def test_a_message_can_be_received_again_within_its_step(harness: Harness) -> None:
    a, b = harness.open(0), harness.open(1)
    a.send(1, Tag(1), numbers(3))
    assert_same(b.recv(0, Tag(1)), numbers(3))
    assert_same(b.recv(0, Tag(1)), numbers(3))


def test_frames_of_an_older_epoch_or_attempt_are_dropped(harness: Harness) -> None:
    b, me = harness.open(1), harness.config(0)
    inject(harness, replace(me, epoch=me.epoch - 1), Tag(1), numbers(3))
    inject(harness, replace(me, attempt=0), Tag(2), numbers(3))
    inject(harness, replace(me, epoch=me.epoch - 1, run_id="f" * 32, mac_key=b"x" * 32), Tag(3), numbers(3))
    for step in (1, 2, 3):
        with pytest.raises(ChannelTimeout):
            receive_within(b, harness, 0.2, (0, Tag(step)))
    assert b.stats.stale >= 3
    assert b.stats.frames_received == 0


def receive_within(channel: Channel, harness: Harness, seconds: float, pair: tuple[int, Tag]) -> Tensor:
    """Receive with a deadline of its own; cloud messages need a moment to arrive."""
    longer = seconds if harness.name == "memory" else seconds + 0.3
    channel.config = replace(channel.config, deadline=time.monotonic() + longer)
    return channel.recv(*pair)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"attempt": 1}])
def test_a_newer_holder_fences_this_one_off(harness: Harness, change: dict[str, int]) -> None:
    b, me = harness.open(1), harness.config(0)
    newer = replace(me, **{name: getattr(me, name) + more for name, more in change.items()})
    inject(harness, newer, Tag(1), numbers(3))
    with pytest.raises(Fenced, match="slot 1"):
        b.recv(0, Tag(1))
    with pytest.raises(Fenced):
        b.send(0, Tag(2), numbers(3))


def test_a_fenced_slot_leaves_the_message_to_its_owner(harness: Harness) -> None:
    zombie, me = harness.open(1), harness.config(0)
    inject(harness, replace(me, epoch=me.epoch + 1), Tag(1), numbers(3))
    with pytest.raises(Fenced):
        zombie.recv(0, Tag(1))
    zombie.close()
    if harness.name in ("queue", "hybrid"):
        owner = harness.open(1, epoch=me.epoch + 1)
        assert_same(owner.recv(0, Tag(1)), numbers(3))


def test_a_higher_epoch_that_nobody_holds_is_refused(harness: Harness) -> None:
    asked: list[int] = []

    def confirm_epoch(epoch: int) -> bool:
        asked.append(epoch)
        return False

    b, me = harness.open(1, ChannelHooks(confirm_epoch=confirm_epoch)), harness.config(0)
    forged = replace(me, epoch=me.epoch + 5, run_id="f" * 32, mac_key=b"x" * 32)
    inject(harness, forged, Tag(1), numbers(3))
    with pytest.raises(ChannelTimeout):
        receive_within(b, harness, 0.2, (0, Tag(1)))
    assert asked[0] == me.epoch + 5
    assert b.stats.rejected >= 1


def test_a_message_with_a_wrong_mac_is_never_delivered(harness: Harness) -> None:
    b, me = harness.open(1), harness.config(0)
    inject(harness, replace(me, mac_key=b"x" * 32), Tag(1), numbers(3))
    with pytest.raises(ChannelTimeout):
        receive_within(b, harness, 0.2, (0, Tag(1)))
    assert b.stats.rejected >= 1


def test_a_message_for_another_slot_is_refused(harness: Harness) -> None:
    b, me = harness.open(1), harness.config(0)
    harness.inject(me, (0, 1, 0), 1, signed(me, 0, 2, Tag(1), numbers(3)))
    with pytest.raises(ChannelTimeout):
        receive_within(b, harness, 0.2, (0, Tag(1)))
    assert b.stats.rejected >= 1


def test_a_timeout_names_what_was_waited_for(harness: Harness) -> None:
    b = harness.open(1, deadline=time.monotonic() + 0.2)
    with pytest.raises(ChannelTimeout, match=r"slot 1: no step 7 micro-batch 2 from slot 0 \(and 1 more\)"):
        b.recv_any([(0, Tag(7, 2)), (2, Tag(7, 2))])


def test_the_check_hook_interrupts_and_nothing_is_lost(harness: Harness) -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Interrupted

    a, b = harness.open(0), harness.open(1, ChannelHooks(check=check))
    a.send(1, Tag(2), numbers(4))
    with pytest.raises(Interrupted):
        b.recv(0, Tag(1))
    a.send(1, Tag(1), numbers(3))
    assert_same(b.recv(0, Tag(1)), numbers(3))
    assert_same(b.recv(0, Tag(2)), numbers(4))


def test_another_process_takes_over_the_inbox(harness: Harness) -> None:
    a, old = harness.open(0), harness.open(1)
    a.send_many([(1, Tag(step), numbers(3, seed=step)) for step in range(4)])
    assert_same(old.recv(0, Tag(3)), numbers(3, seed=3))
    saved = old.save_inbox()
    old.close()
    new = harness.open(1)
    new.restore_inbox(saved)
    a.send(1, Tag(4), numbers(3, seed=4))
    for step in (3, 4, 2, 1, 0):
        assert_same(new.recv(0, Tag(step)), numbers(3, seed=step))
    assert new.stats.duplicates == 0


def test_an_inbox_of_another_slot_or_changed_is_refused(harness: Harness) -> None:
    saved = harness.open(1).save_inbox()
    for data, slot in ((saved, 2), (saved[:-1] + bytes([saved[-1] ^ 1]), 1), (b"", 1), (saved[:30], 1)):
        with pytest.raises(FrameError):
            harness.open(slot).restore_inbox(data)


def test_abort_reaches_whoever_waits(harness: Harness) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]
    ends[2].abort("rank 2 ran out of memory")
    for slot in (0, 1):
        with pytest.raises(RunAborted, match="slot 2: rank 2 ran out of memory") as caught:
            ends[slot].recv(2, Tag(5))
        assert caught.value.source == 2
        with pytest.raises(RunAborted):
            ends[slot].send(2, Tag(6), numbers(3))


def test_a_message_that_is_no_frame_goes_to_the_owner(harness: Harness) -> None:
    if harness.name == "object":
        pytest.skip("an object channel asks for exact names: nobody else's message can come")
    seen: list[str] = []

    def on_foreign(text: str) -> None:
        seen.append(text)
        raise Interrupted

    a, b = harness.open(0), harness.open(1, ChannelHooks(on_foreign=on_foreign))
    envelope = json.dumps({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}})
    harness.inject(b.config, (0, 0, 0), 1, envelope)
    with pytest.raises(Interrupted):
        b.recv(0, Tag(1))
    a.send(1, Tag(1), numbers(3))
    assert_same(b.recv(0, Tag(1)), numbers(3))
    assert seen == [envelope]


def test_slots_at_work_at_the_same_time_exchange_with_each_other(harness: Harness) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]

    def all_gather(slot: int) -> list[float]:
        others = [s for s in range(SLOTS) if s != slot]
        sums = []
        for step in range(6):
            mine = np.full(100, slot + 10.0 * step)
            ends[slot].send_many([(dst, Tag(step), mine) for dst in others])
            got = [ends[slot].recv(src, Tag(step)) for src in others]
            sums.append(float(sum(np.asarray(tensor)[0] for tensor in got) + mine[0]))
        return sums

    with ThreadPoolExecutor(SLOTS) as pool:
        assert list(pool.map(all_gather, range(SLOTS))) == [[3.0 + 30 * step for step in range(6)]] * SLOTS


def test_a_sender_repeating_itself_to_a_successor_is_received_once(harness: Harness) -> None:
    a, old = harness.open(0), harness.open(1)
    noise = np.random.default_rng(2).integers(0, 256, 700_000, dtype=np.uint8)
    a.send(1, Tag(1), noise)
    assert_same(old.recv(0, Tag(1)), noise)
    a.send(1, Tag(2), numbers(3))
    assert_same(old.recv(0, Tag(2)), numbers(3))
    new = harness.open(1)
    new.restore_inbox(old.save_inbox())
    a.send(1, Tag(1), noise)
    a.send(1, Tag(3), numbers(4))
    assert_same(new.recv(0, Tag(3)), numbers(4))
    assert new.stats.frames_received == 1


def test_an_object_sent_to_many_is_the_same_for_all(harness: Harness) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]
    whole = numbers(50, 50)
    ends[0].send_many([(1, Tag(1), whole), (2, Tag(1), whole), (1, Tag(2), whole[:, :7])])
    assert_same(ends[1].recv(0, Tag(1)), whole)
    assert_same(ends[2].recv(0, Tag(1)), whole)
    assert_same(ends[1].recv(0, Tag(2)), whole[:, :7])


def test_a_slot_that_does_not_exist_is_refused(harness: Harness) -> None:
    with pytest.raises(ConfigError, match=r"expected a slot in \[0, 3\), got 3"):
        harness.open(0).send(3, Tag(1), numbers(3))


def test_waiting_for_nothing_is_refused(harness: Harness) -> None:
    with pytest.raises(ConfigError):
        harness.open(0).recv_any([])


def test_closing_twice_is_harmless(harness: Harness) -> None:
    channel = harness.open(0)
    channel.flush()
    channel.close()
    channel.close()


def test_all_of_several_messages_are_awaited_and_stay(harness: Harness) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]
    pairs = [(1, Tag(4)), (2, Tag(4))]
    with ThreadPoolExecutor(1) as pool:
        ends[1].send(0, Tag(4), numbers(3, seed=1))
        waiting = pool.submit(ends[0].await_all, pairs)
        time.sleep(0.05)
        assert not waiting.done()
        ends[2].send(0, Tag(4), numbers(3, seed=2))
        waiting.result()
    assert all(ends[0].has_arrived(*pair) for pair in pairs)
    for source, tag in pairs:
        assert_same(ends[0].recv(source, tag), numbers(3, seed=source))


def test_tensors_of_an_iterator_are_let_go_when_the_next_one_is_made(harness: Harness) -> None:
    made: list[weakref.ref[NDArray[np.float32]]] = []
    most_alive = 0

    def messages() -> Iterator[tuple[int, Tag, Tensor]]:
        nonlocal most_alive
        for step in range(5):
            tensor = numbers(20, seed=step)
            made.append(weakref.ref(tensor))
            most_alive = max(most_alive, sum(ref() is not None for ref in made))
            yield from [(1, Tag(step), tensor), (2, Tag(step), tensor)]
            del tensor

    a, b, c = (harness.open(slot) for slot in range(SLOTS))
    a.send_many(messages())
    assert most_alive <= 2
    for step in range(5):
        assert_same(b.recv(0, Tag(step)), numbers(20, seed=step))
        assert_same(c.recv(0, Tag(step)), numbers(20, seed=step))
