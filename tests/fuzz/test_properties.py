"""Hypothesis over the targets: any bytes at all, and well-formed ones with a piece replaced."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

FAST = sorted(set(TARGETS) - {"onnx"})


@cache
def seeds(target: str) -> tuple[bytes, ...]:
    """A target's well-formed inputs."""
    return tuple(TARGETS[target].seeds())


@pytest.mark.parametrize("target", FAST)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(target: str, data: bytes) -> None:
    TARGETS[target].check(data)


@pytest.mark.parametrize("target", FAST)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), piece=st.binary(max_size=8), mended=st.booleans())
def test_a_replaced_piece_is_read_or_refused(target: str, data: st.DataObject, piece: bytes, mended: bool) -> None:
    seed = data.draw(st.sampled_from(seeds(target)))
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, min(start + 8, len(seed))))
    mutant = seed[:start] + piece + seed[end:]
    mend = TARGETS[target].mend
    TARGETS[target].check(mend(mutant) if mend and mended and len(mutant) > 40 else mutant)
