"""One worker's price: by hand, and measured on a small network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench.auto import COLD_S, Alone, Theirs, auto_line, auto_markdown, measure_alone, read_theirs

ALONE = Alone(1024, 2.0, 1.8, 1, 100_000_000, 1 << 30, 1_000, 19_000, 4e9, 10, 10)


def test_the_price_is_all_seconds_at_the_memory_that_was_needed() -> None:
    line = auto_line(ALONE, Theirs(0.02, 2e9))  # this machine is twice as fast as theirs
    assert line["memory_mb"] == 1769
    assert (line["load_s"], line["compute_s"]) == (2.0, 4.0)
    seconds = COLD_S + 2.0 + 4.0
    assert line["usd_ours"] == pytest.approx(seconds * 1769 / 1024 * 1.66667e-5 + 2e-7 + 10 * 4e-7 + 3 * 5e-6)
    assert line["usd_ours_without_dropping"] - line["usd_ours"] == pytest.approx(18 * 4.0 * 1769 / 1024 * 1.66667e-5)
    assert "1/" in auto_markdown([line])


def test_a_function_of_more_memory_computes_on_as_many_cores_as_were_busy_here_and_it_has() -> None:
    two = replace(ALONE, peak_bytes=3 << 30)
    assert auto_line(two, Theirs(0.02, 2e9))["compute_s"] == pytest.approx(4.0 / 1.8)
    assert auto_line(replace(two, cores=9.0), Theirs(0.02, 2e9))["compute_s"] == pytest.approx(
        4.0 / (math.ceil(3 * 1024 * 1.15) / 1769)
    )


def test_their_rate_is_that_of_a_whole_cpu(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(
        "neurons,workers,memory_mb,computation_s,total_usd\n1024,8,1769,10,0.5\n1024,20,1769,20,\n4096,8,1,1,1\n"
    )
    assert read_theirs(path, 1024) == Theirs(0.5, 1024 * 32 * 120 * 10_000 / 10)


def test_one_worker_is_measured_and_right() -> None:
    alone = measure_alone(1024, None, layers=3, samples=30)
    assert (alone.right, alone.checked) == (30, 30)
    assert 0 < alone.multiplications <= alone.all_multiplications == 1024 * 32 * 30 * 3
    assert alone.requests == 1
    assert alone.loaded_bytes > 3 * 1024 * 32 * 2 * 0.9


def test_large_inputs_come_as_several_requests() -> None:
    whole, parts = (measure_alone(1024, None, 3, 30, request_bytes=size) for size in (1 << 20, 10 * 1024 * 4))
    assert (whole.requests, parts.requests) == (1, 3)
    assert (parts.right, parts.checked) == (30, 30)
    assert parts.multiplications == whole.multiplications
    line = auto_line(replace(ALONE, requests=3), Theirs(0.02, 2e9))
    each = 2e-7 + 10 * 4e-7 + 3 * 5e-6
    assert line["usd_ours"] - auto_line(ALONE, Theirs(0.02, 2e9))["usd_ours"] == pytest.approx(2 * each)
