"""The inbox: chunks in any order, once each, and what contradicts itself is refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.errors import FrameError
from channels.frame import Frame, Header, split_message
from channels.inbox import Inbox
from channels.tags import Tag


def header(step: int = 1, source: int = 0, chunk: int = 0, chunks: int = 1, total: int = 0) -> Header:
    """Make a header of the one run of these tests."""
    return Header(b"r" * 16, 0, 0, Tag(step), source, 1, chunk, chunks, total)


@given(st.binary(max_size=60), st.integers(1, 9), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_chunks_in_any_order_and_more_than_once_give_the_message_once(
    payload: bytes, max_chunk: int, shuffle: random.Random
) -> None:
    frames = list(split_message(header(), payload, max_chunk)) * 2
    shuffle.shuffle(frames)
    inbox = Inbox()
    assert sum(inbox.add(frame) for frame in frames) == len(frames) // 2
    found = inbox.take([(0, Tag(1))])
    assert found is not None
    assert bytes(found[1]) == payload


def test_a_message_with_a_missing_chunk_is_not_there() -> None:
    inbox = Inbox()
    for frame in list(split_message(header(), b"abcdef", 2))[:2]:
        inbox.add(frame)
    assert inbox.take([(0, Tag(1))]) is None


@pytest.mark.parametrize(
    "second",
    [
        Frame(header(chunk=1, chunks=3, total=6), b"cd"),
        Frame(header(chunk=1, chunks=2, total=7), b"cd"),
        Frame(header(chunk=1, chunks=2, total=6), b"cdefg"),
        Frame(header(chunk=1, chunks=2, total=6), b"c"),
    ],
    ids=["other number of chunks", "other size", "too much", "too little"],
)
def test_chunks_that_contradict_each_other_are_refused(second: Frame) -> None:
    inbox = Inbox()
    inbox.add(Frame(header(chunk=0, chunks=2, total=6), b"ab"))
    with pytest.raises(FrameError):
        inbox.add(second)
    assert inbox.take([(0, Tag(1))]) is None


def test_messages_of_the_last_step_are_kept_and_older_ones_dropped() -> None:
    inbox = Inbox()
    for step, source in ((1, 0), (1, 2), (2, 0)):
        inbox.add(Frame(header(step, source, total=1), b"x"))
    for source in (0, 2, 0, 2):
        assert inbox.take([(source, Tag(1))]) is not None
    assert inbox.take([(0, Tag(2))]) is not None
    assert inbox.take([(0, Tag(1)), (2, Tag(1))]) is None
