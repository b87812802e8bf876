"""Ranks go to the slots that already hold their shards."""

from __future__ import annotations

from runs.binding import bind_ranks


def test_cold_slots_keep_their_order() -> None:
    assert bind_ranks([{"a": 1}, {"b": 1}, {"c": 1}], [set(), set(), set()]) == (0, 1, 2)


def test_a_warm_slot_gets_the_rank_whose_shard_it_holds() -> None:
    needed = [{"a": 5}, {"b": 5}, {"c": 5}, {"d": 5}]
    assert bind_ranks(needed, [{"a"}, {"d"}, {"b"}, {"c"}]) == (0, 2, 3, 1)


def test_more_bytes_win_over_more_assets() -> None:
    needed = [{}, {"big": 100, "p": 1}, {"q": 1, "r": 1}]
    assert bind_ranks(needed, [set(), {"q", "r"}, {"big", "q", "r"}]) == (0, 2, 1)


def test_rank_zero_stays_on_slot_zero_whatever_others_hold() -> None:
    assert bind_ranks([{"a": 9}, {"a": 9}], [set(), {"a"}]) == (0, 1)
