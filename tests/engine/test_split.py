from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.split import split_bounds


@given(st.integers(0, 100), st.integers(1, 12))
def test_pieces_are_those_of_numpy_array_split(size: int, parts: int) -> None:
    pieces = [list(range(start, stop)) for start, stop in split_bounds(size, parts)]
    assert pieces == [piece.tolist() for piece in np.array_split(np.arange(size), parts)]


@given(st.integers(0, 20), st.integers(1, 12), st.integers(1, 9))
def test_pieces_in_units_are_those_of_the_units(units: int, parts: int, unit: int) -> None:
    assert split_bounds(units * unit, parts, unit) == tuple((a * unit, b * unit) for a, b in split_bounds(units, parts))


@pytest.mark.parametrize(("size", "parts", "unit"), [(-1, 1, 1), (1, 0, 1), (1, -2, 1), (5, 2, 2), (4, 2, 0)])
def test_impossible_split_is_refused(size: int, parts: int, unit: int) -> None:
    with pytest.raises(ValueError, match="cannot split"):
        split_bounds(size, parts, unit)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 5))
def test_dealt_pieces_follow_one_another_with_so_many_units_each(deal: list[int], unit: int) -> None:
    bounds = split_bounds(unit * sum(deal), len(deal), unit, deal)
    assert [high - low for low, high in bounds] == [unit * own for own in deal]
    assert [i for low, high in bounds for i in range(low, high)] == list(range(unit * sum(deal)))


@pytest.mark.parametrize(("size", "parts", "deal"), [(3, 2, [1, 1]), (3, 3, [2, 1]), (2, 2, [3, -1])])
def test_deal_of_another_size_is_refused(size: int, parts: int, deal: list[int]) -> None:
    with pytest.raises(ValueError, match=f"expected {parts} pieces of {size} elements"):
        split_bounds(size, parts, 1, deal)
