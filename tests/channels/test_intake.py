"""Whatever arrives, taking it in raises nothing; half of the mutants here carry a MAC made right again."""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.codec import Codec
from channels.config import ChannelConfig, ChannelStats
from channels.errors import CodecError
from channels.frame import MAC_BYTES, Frame, Header, pack_frame, split_message
from channels.intake import Intake
from channels.tags import ABORT, Tag

KEY = b"0123456789abcdef"
LIMIT = 1 << 16
CONFIG = ChannelConfig("ab" * 16, 1, 2, 1, 3, KEY, deadline=0.0, max_message_bytes=LIMIT)


def header(step: int = 1) -> Header:
    """Make a header from slot 0 to slot 1."""
    return Header(b"\xab" * 4, 1, 2, Tag(step), 0, 1, 0, 1, 0)


def frames(step: int, payload: bytes, max_chunk: int = 1 << 20) -> list[bytes]:
    """Pack a message."""
    return [pack_frame(frame, KEY) for frame in split_message(header(step), payload, max_chunk)]


CODEC = Codec(LIMIT)
SEEDS = [
    *frames(1, CODEC.encode(np.arange(6, dtype=np.float32))),
    *frames(2, CODEC.encode(np.arange(60, dtype=np.float64)), max_chunk=200),
    *frames(ABORT, CODEC.encode_json({"reason": "no reason"})),
    *frames(ABORT, b"no payload at all"),
]


def resigned(data: bytes) -> bytes:
    """Make the MAC right again."""
    body = data[:-MAC_BYTES]
    return body + blake2b(body, key=KEY, digest_size=MAC_BYTES).digest()


@given(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=6), st.data())
@settings(max_examples=400, deadline=None)
def test_mutated_frames_are_counted_and_never_crash_the_intake(seeds: list[bytes], data: st.DataObject) -> None:
    stats = ChannelStats()
    intake = Intake(CONFIG, stats, CODEC)
    refused = 0
    for seed in seeds:
        mutant = bytearray(seed)
        for _ in range(data.draw(st.integers(0, 3))):
            mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
        made = resigned(bytes(mutant)) if data.draw(st.booleans()) else bytes(mutant)
        refused += not intake.accept(made, lambda _epoch: True)
    counted = stats.frames_received + stats.duplicates + stats.stale + stats.rejected
    assert counted == len(seeds) - refused
    for payload in intake.inbox.ready.values():
        with suppress(CodecError):
            CODEC.decode(payload)


def test_an_abort_without_a_readable_reason_still_ends_the_run() -> None:
    intake = Intake(CONFIG, ChannelStats(), CODEC)
    assert intake.accept(frames(ABORT, b"no payload at all")[0], lambda _epoch: True)
    assert "no reason given" in str(intake.over)


def test_a_message_above_the_limit_is_refused_by_its_first_chunk() -> None:
    stats = ChannelStats()
    intake = Intake(CONFIG, stats, CODEC)
    huge = Header(b"\xab" * 4, 1, 2, Tag(1), 0, 1, 0, 1 << 20, 1 << 40)
    intake.accept(pack_frame(Frame(huge, b"x"), KEY), lambda _epoch: True)
    assert stats.rejected == 1
    assert not intake.inbox.partial
