"""A reduction that is missing, or another one, is noticed; `make conformance` prints the table."""

from __future__ import annotations

from functools import cache

from tests.conformance.mutation import Mutant, as_lines, mutants, reducing


@cache
def found() -> tuple[Mutant, ...]:
    return tuple(mutants())


def test_every_reduction_is_tried_on_a_model_that_is_right_with_it() -> None:
    assert {(m.op, m.letter) for m in found()} == set(reducing())
    assert len({m.op for m in found()}) >= 8
    assert [m for m in found() if not m.sound] == []


def test_reduction_that_is_missing_or_another_one_is_noticed() -> None:
    assert [m for m in found() if not m.killed] == []


def test_table_names_what_is_not_noticed() -> None:
    blind = Mutant(("", "MatMul"), "k", "dropped", sound=True, killed=False)
    assert as_lines([blind])[-1] == "| MatMul | k | dropped | is blind |"
