from __future__ import annotations

import sys

import numpy as np
import pytest

from engine.memory import peak_rss_bytes, rss_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_covers_what_was_taken_and_given_back() -> None:
    before = rss_bytes()
    block = np.ones(64 << 20, np.uint8)  # above glibc's largest M_MMAP_THRESHOLD: not from what was freed before
    assert rss_bytes() > 0
    del block
    assert peak_rss_bytes() >= before + (60 << 20)
