"""What one slot hands on arrives as it was sent, on every channel; and what that takes where it has an effect."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from channels.base import Channel
from channels.errors import ChannelTimeout
from channels.object import ObjectChannel
from channels.queue import QueueChannel
from channels.tags import Tag
from channels.tensors import Tensor
from tests.channels.conftest import SLOTS, Harness

pytestmark = pytest.mark.timeout(60)
RELAY = 2
Messages = Mapping[tuple[int, int], np.ndarray[Any, Any]]  # by (source, destination)


def noise(size: int, seed: int) -> np.ndarray[Any, Any]:
    """Bytes that nothing makes smaller."""
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def all_to_all(step: int, *sizes: int, without: Sequence[tuple[int, int]] = ()) -> Messages:
    """A message of each slot to each other, of a size by source; those to the next slot and the one after differ."""
    pairs = [(src, dst) for src in range(SLOTS) for dst in range(SLOTS) if src != dst and (src, dst) not in without]
    return {(src, dst): noise(sizes[src % len(sizes)] + dst, 100 * step + 10 * src + dst) for src, dst in pairs}


@dataclass(frozen=True)
class Exchanged:
    """One exchange as a slot takes part in it."""

    tag: Tag
    messages: Messages
    relay: int = RELAY

    @property
    def senders(self) -> list[int]:
        """Slots that have something for another."""
        return sorted({src for src, _ in self.messages})

    def part(self, end: Channel) -> dict[int, Tensor]:
        """What a slot gets, by source."""
        me = end.config.slot
        end.relay(self.tag, self.relay, self.senders)
        end.send_many([(dst, self.tag, value) for (src, dst), value in self.messages.items() if src == me])
        if me == self.relay:
            end.hand_on(self.tag)
        return self.receive(end)

    def receive(self, end: Channel) -> dict[int, Tensor]:
        """What is for a slot, in the order of arrival."""
        left = [(src, self.tag) for src, dst in self.messages if dst == end.config.slot]
        got: dict[int, Tensor] = {}
        while left:
            src, tag, tensor = end.recv_any(left)
            got[src] = tensor
            left.remove((src, tag))
        return got

    def check(self, slot: int, got: Mapping[int, Tensor]) -> None:
        """Whether a slot has got what was sent to it."""
        expected = {src: value for (src, dst), value in self.messages.items() if dst == slot}
        assert sorted(got) == sorted(expected)
        for src, value in expected.items():
            assert np.array_equal(np.asarray(got[src]), value), (self.tag, src, slot)


def at_once(ends: Sequence[Channel], work: Callable[[Channel], Any]) -> list[Any]:
    """The results of `work`, done by all slots at the same time."""
    with ThreadPoolExecutor(len(ends)) as pool:
        return list(pool.map(work, ends))


def run(ends: Sequence[Channel], *exchanges: Exchanged) -> None:
    """Let all slots exchange, each at its own pace, and check what they get."""

    def work(end: Channel) -> None:
        for exchange in exchanges:
            exchange.check(end.config.slot, exchange.part(end))

    at_once(ends, work)


@pytest.fixture
def ends(harness: Harness) -> list[Channel]:
    """All slots' ends of a channel."""
    return [harness.open(slot) for slot in range(SLOTS)]


# From small ones, which are handed on everywhere, to such as the hybrid channel leaves on S3.
@pytest.mark.parametrize("size", [0, 100, 60_000, 200_000, 1_500_000])
def test_every_slot_gets_what_the_others_sent_it(ends: list[Channel], size: int) -> None:
    run(ends, Exchanged(Tag(3), all_to_all(3, size)))


@pytest.mark.parametrize("large", range(SLOTS))
def test_a_source_that_sends_much_is_heard_among_those_that_send_little(ends: list[Channel], large: int) -> None:
    sizes = [200_000 if slot == large else 50 for slot in range(SLOTS)]
    run(ends, Exchanged(Tag(3), all_to_all(3, *sizes)), Exchanged(Tag(4), all_to_all(4, *sizes)))


@pytest.mark.parametrize("size", [50, 70_000, 300_000])
def test_one_object_for_all_others_is_handed_on_to_each(ends: list[Channel], size: int) -> None:
    shared = [noise(size, slot) for slot in range(SLOTS)]
    both = {(src, dst): shared[src] for src in range(SLOTS) for dst in range(SLOTS) if src != dst}
    run(ends, Exchanged(Tag(3), both))


@pytest.mark.parametrize(
    "without",
    [
        [(0, RELAY)],
        [(0, RELAY), (1, RELAY)],
        [(RELAY, 0), (RELAY, 1)],
        [(0, RELAY), (1, RELAY), (RELAY, 0), (RELAY, 1)],
        [(0, 1), (1, 0)],
        [(0, 1), (0, RELAY)],
    ],
    ids=["nothing of one for it", "it reads nothing", "it sends nothing", "it does neither", "all for it", "one reads"],
)
@pytest.mark.parametrize("size", [50, 200_000])
def test_who_has_nothing_for_whom_makes_nobody_wait(
    ends: list[Channel], without: list[tuple[int, int]], size: int
) -> None:
    run(ends, *(Exchanged(Tag(step), all_to_all(step, size, without=without)) for step in (3, 4)))


def test_exchanges_follow_each_other_and_others_hand_on(ends: list[Channel]) -> None:
    sizes = [(50,), (300, 60_000, 20), (200_000, 9, 9), (9, 9, 200_000)]
    exchanges = [
        Exchanged(Tag(step, step % 2), all_to_all(step, *sizes[step % 4]), relay=step % SLOTS) for step in range(12)
    ]
    run(ends, *exchanges)


def test_what_comes_before_its_exchange_begins_is_kept_for_it(ends: list[Channel]) -> None:
    first, second = (Exchanged(Tag(step), all_to_all(step, 50, without=[(RELAY, 0), (RELAY, 1)])) for step in (3, 4))
    for exchange in (first, second):
        for end in ends[:RELAY]:
            end.relay(exchange.tag, RELAY, exchange.senders)
            end.send_many(
                [(dst, exchange.tag, v) for (src, dst), v in exchange.messages.items() if src == end.config.slot]
            )
            end.flush()
    got = at_once(ends, lambda end: (first.receive(end), second.receive(end)) if end is not ends[RELAY] else both(end))

    for slot, (one, other) in enumerate(got):
        first.check(slot, one)
        second.check(slot, other)


def both(end: Channel) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """What the slot that hands on does when the others are ahead of it."""
    found = [Exchanged(Tag(step), all_to_all(step, 50, without=[(RELAY, 0), (RELAY, 1)])).part(end) for step in (3, 4)]
    return found[0], found[1]


@pytest.mark.parametrize("size", [50, 200_000, 1_500_000])
@pytest.mark.parametrize("without", [[], [(0, RELAY), (1, RELAY)]], ids=["all", "nothing for it"])
def test_an_exchange_that_all_repeat_gives_the_same(
    ends: list[Channel], size: int, without: list[tuple[int, int]]
) -> None:
    exchange = Exchanged(Tag(3), all_to_all(3, size, without=without))
    run(ends, exchange, exchange)


@pytest.mark.parametrize("again", range(SLOTS))
def test_an_exchange_that_one_repeats_gives_it_the_same(ends: list[Channel], again: int) -> None:
    exchange = Exchanged(Tag(3), all_to_all(3, 50, without=[(0, RELAY)]))
    run(ends, exchange)
    exchange.check(again, exchange.part(ends[again]))
    following = Exchanged(Tag(4), all_to_all(4, 50))
    run(ends, following)


def test_a_successor_of_a_reader_repeats_its_exchange(harness: Harness, ends: list[Channel]) -> None:
    exchange = Exchanged(Tag(3), all_to_all(3, 50))
    run(ends, exchange)
    successor = harness.open(0)
    successor.restore_inbox(ends[0].save_inbox())
    exchange.check(0, exchange.part(successor))
    run([successor, *ends[1:]], Exchanged(Tag(4), all_to_all(4, 50)))


@pytest.mark.parametrize("size", [50, 200_000])
def test_where_nobody_hands_on_by_the_settings_all_arrives_as_well(harness: Harness, size: int) -> None:
    ends = [harness.open(slot) for slot in range(SLOTS)]
    for end in ends:
        if isinstance(end, QueueChannel):
            end._settings = replace(end._settings, relays=False)
        if isinstance(end, ObjectChannel):
            end._settings = replace(end._settings, relays=False)
    run(ends, Exchanged(Tag(3), all_to_all(3, size)))
    assert all(not end._relays.by_tag for end in ends if hasattr(end, "_relays"))


def test_who_only_hands_on_is_done_at_the_deadline_when_a_source_never_comes(harness: Harness) -> None:
    if harness.name in ("memory", "folder"):
        pytest.skip("nobody hands on")
    end = harness.open(RELAY, deadline=time.monotonic() + 0.8)
    end.relay(Tag(3), RELAY, [0, 1])
    started = time.monotonic()
    with pytest.raises(ChannelTimeout, match="slot 2: no step 3"):
        end.hand_on(Tag(3))
    assert time.monotonic() - started < 5
