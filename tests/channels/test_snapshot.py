"""Handing an inbox over: half-received messages and messages for the owner go with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.config import ChannelConfig
from channels.errors import FrameError
from channels.frame import Header, split_message
from channels.inbox import Inbox
from channels.snapshot import Snapshot, load_snapshot, save_snapshot
from channels.tags import Tag

CONFIG = ChannelConfig("ab" * 16, 1, 2, 1, 3, b"0123456789abcdef", deadline=0.0)


def inbox_with(payloads: list[bytes], chunks_missing: int, taken: int) -> Inbox:
    """Fill an inbox with one message per step; the first lacks chunks, the last `taken` were asked for."""
    inbox = Inbox()
    for step, payload in enumerate(payloads):
        frames = list(split_message(Header(b"\xab" * 4, 1, 2, Tag(step), 0, 1, 0, 1, 0), payload, 2))
        for frame in frames[: len(frames) - chunks_missing] if step == 0 else frames:
            inbox.add(frame)
    for step in range(len(payloads) - taken, len(payloads)):
        inbox.take([(0, Tag(step))])
    return inbox


@given(
    st.lists(st.binary(max_size=9), min_size=1, max_size=5), st.integers(0, 2), st.integers(0, 1), st.lists(st.text())
)
@settings(max_examples=100, deadline=None)
def test_an_inbox_comes_back_as_it_was(payloads: list[bytes], missing: int, taken: int, foreign: list[str]) -> None:
    inbox = inbox_with(payloads, missing, taken)
    got = load_snapshot(save_snapshot(Snapshot(inbox, tuple(foreign)), CONFIG), CONFIG)
    assert got.foreign == tuple(foreign)
    assert got.inbox == inbox


def test_what_was_heard_of_samples_comes_back() -> None:
    heard = {(0, Tag(3)): np.array([1, 5, 9], np.int32), (2, Tag(4, 1)): np.zeros(0, np.int32)}
    got = load_snapshot(save_snapshot(Snapshot(Inbox(), (), heard), CONFIG), CONFIG).heard
    assert {pair: samples.tolist() for pair, samples in got.items()} == {(0, Tag(3)): [1, 5, 9], (2, Tag(4, 1)): []}


def test_the_missing_chunk_completes_the_message_at_the_successor() -> None:
    inbox = inbox_with([b"abcdef"], 1, 0)
    successor = load_snapshot(save_snapshot(Snapshot(inbox, ()), CONFIG), CONFIG).inbox
    for frame in split_message(Header(b"\xab" * 4, 1, 2, Tag(0), 0, 1, 0, 1, 0), b"abcdef", 2):
        successor.add(frame)
    found = successor.take([(0, Tag(0))])
    assert found is not None
    assert bytes(found[1]) == b"abcdef"


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_inbox_is_refused(data: st.DataObject) -> None:
    saved = bytearray(save_snapshot(Snapshot(inbox_with([b"abc", b"de"], 0, 1), ()), CONFIG))
    saved[data.draw(st.integers(0, len(saved) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError, match="signed by this run"):
        load_snapshot(bytes(saved), CONFIG)
