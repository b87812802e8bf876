"""Frames: round trips, refusals, and what mutation can do to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.errors import FrameError
from channels.frame import (
    LEAST_BYTES,
    OVERHEAD_BYTES,
    Frame,
    Header,
    pack_frame,
    parse_frame,
    split_message,
    verify_mac,
)
from channels.tags import Tag

KEY = b"0123456789abcdef"
LIMIT = 1 << 20
HEADER = Header(b"run.", 1, 2, Tag(-3, 4), 5, 6, 0, 1, 9)
GOOD = pack_frame(Frame(HEADER, b"some text"), KEY)

u32, u64, u16 = (st.integers(0, (1 << bits) - 1) for bits in (32, 64, 16))
headers = st.builds(
    Header,
    st.binary(min_size=4, max_size=4),
    u32,
    u64,
    st.builds(Tag, st.integers(-(1 << 31), (1 << 31) - 1), u32),
    u16,
    u16,
    st.just(0),
    st.just(1),
    st.just(0),
)


@given(headers, st.binary(max_size=300), st.integers(1, 100))
@settings(max_examples=200, deadline=None)
def test_chunks_parse_to_the_message_that_was_cut(header: Header, payload: bytes, max_chunk: int) -> None:
    frames = [parse_frame(pack_frame(f, KEY), LIMIT) for f in split_message(header, payload, max_chunk)]
    assert b"".join(bytes(f.payload) for f in frames) == payload
    for i, frame in enumerate(frames):
        assert frame.header == header._replace(chunk=i, chunks=len(frames), total=len(payload))


def test_a_signed_frame_is_accepted_and_another_keys_is_not() -> None:
    verify_mac(GOOD, KEY)
    with pytest.raises(FrameError, match="wrong MAC"):
        verify_mac(GOOD, KEY + b"x")


@pytest.mark.parametrize("position", range(0, len(GOOD), 3))
def test_one_changed_byte_anywhere_breaks_the_mac(position: int) -> None:
    changed = bytearray(GOOD)
    changed[position] ^= 1
    with pytest.raises(FrameError, match="wrong MAC"):
        verify_mac(bytes(changed), KEY)


def claiming(chunk: int = 0, chunks: int = 1, total: int = 9) -> bytes:
    """Pack a frame of nine bytes whose header claims this."""
    return pack_frame(Frame(HEADER._replace(chunk=chunk, chunks=chunks, total=total), b"some text"), KEY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", f"at least {LEAST_BYTES} bytes, got 0"),
        (GOOD[: LEAST_BYTES - 1], "at least"),
        (b"XX" + GOOD[2:], r"expected one that begins with b'\\xfd\\x02', got b'XX'"),
        (GOOD[:1] + b"\x03" + GOOD[2:], r"got b'\\xfd\\x03'"),
        (GOOD[:6] + b"\xff" * 40, "expected a number of 64 bits at byte 6"),
        (GOOD[:6] + b"\xff\xff\xff\xff\xff\x01" + GOOD[7:], "expected numbers of"),
        (GOOD[:6] + b"\x81\x00" + GOOD[7:], "expected a number of 64 bits at byte 6"),
        (GOOD[:-1], "8 bytes in chunk 0 of 1, total 9"),
        (claiming(chunk=1), "chunk 1 of 1"),
        (claiming(chunk=3, chunks=3, total=20), "chunk 3 of 3"),
        (claiming(chunks=0), "chunk 0 of 0"),
        (claiming(chunks=21, total=20), "chunk 0 of 21"),
        (claiming(chunks=2), "9 bytes in chunk 0 of 2, total 9"),
        (claiming(total=LIMIT + 1), f"at most {LIMIT} bytes, got {LIMIT + 1}"),
    ],
)
def test_contradictory_frames_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        parse_frame(data, LIMIT)


def test_a_field_that_does_not_fit_is_refused() -> None:
    with pytest.raises(FrameError, match="does not fit"):
        pack_frame(Frame(HEADER._replace(source=1 << 16), b"some text"), KEY)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused_or_parsed_within_the_limit(data: bytes) -> None:
    framed = GOOD[:6] + data
    try:
        frame = parse_frame(framed, LIMIT)
    except FrameError:
        return
    assert frame.header.total <= LIMIT
    assert LEAST_BYTES <= len(framed) - len(frame.payload) <= OVERHEAD_BYTES
    assert frame.header.chunk < frame.header.chunks


def test_a_usual_frame_adds_few_bytes() -> None:
    usual = Header(b"run.", 1, 1234, Tag(300), 7, 61, 0, 1, 200)
    assert len(pack_frame(Frame(usual, bytes(200)), KEY)) - 200 <= 30
