"""Each rule against its golden text, and against an oracle that runs the op whole and in pieces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from partition.errors import RuleError
from partition.rules import RULES, OpFacts, Rule, RuleBook
from tests.partition import cases
from tests.partition.cases import Golden
from tests.partition.cases_fused import FUSIONS
from tests.partition.cases_more import FURTHER
from tests.partition.cases_moving import MORE
from tests.partition.oracle import Case, missing_letters, wrong_letters

GOLDEN = [*cases.GOLDEN, *MORE, *FUSIONS, *FURTHER]


def case_name(golden: Golden) -> str:
    return f"{golden.case.op_type}-{golden.text.replace(' ', '_')}"


@pytest.mark.parametrize("golden", GOLDEN, ids=case_name)
def test_rule_gives_its_golden_text(golden: Golden) -> None:
    assert str(golden.case.rule()) == golden.text


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("golden", GOLDEN, ids=case_name)
def test_rule_holds_on_uneven_pieces_and_lacks_nothing(golden: Golden, parts: int) -> None:
    rule = golden.case.rule()
    assert rule is not None
    assert wrong_letters(golden.case, rule, parts) == []
    assert set(missing_letters(golden.case, rule, parts)) <= set(golden.tolerated)


@pytest.mark.parametrize("golden", GOLDEN, ids=case_name)
def test_rule_holds_where_pieces_are_empty(golden: Golden) -> None:
    rule = golden.case.rule()
    assert rule is not None
    assert wrong_letters(golden.case, replace(rule, linear=()), 16) == []


def test_every_op_with_a_rule_has_a_case() -> None:
    unseen = {("", "Swish"), ("fsd.sparse", "SparseChain")}  # onnxruntime has no kernel; tests/partition/test_sparse.py
    assert set(RULES.known()) - unseen == {(golden.case.domain, golden.case.op_type) for golden in GOLDEN}


@pytest.mark.parametrize("golden", GOLDEN, ids=case_name)
def test_rule_text_can_be_read_back(golden: Golden) -> None:
    assert Rule.parse(golden.text) == golden.case.rule()


def test_oracle_finds_a_letter_that_does_not_hold() -> None:
    case = Case("Softmax", (np.arange(12, dtype=np.float32).reshape(3, 4),), {"axis": -1})
    assert wrong_letters(case, Rule.parse("a b -> a b"), 2) == ["b"]


def test_oracle_finds_a_dropped_reduction() -> None:
    case = Case("MatMul", (np.ones((4, 6), np.float32), np.ones((6, 5), np.float32)), {})
    assert wrong_letters(case, Rule.parse("m k, k n -> m n; reduce k: max"), 3) == ["k"]


def test_oracle_finds_a_missing_letter() -> None:
    case = Case("Relu", (np.arange(-6, 6, dtype=np.float32).reshape(3, 4),), {})
    assert missing_letters(case, Rule.parse("a b -> a b; whole b"), 2) == [(1,)]


def test_oracle_finds_a_wrong_claim_of_linearity() -> None:
    case = Case("Relu", (np.arange(-6, 6, dtype=np.float32).reshape(3, 4),), {})
    assert wrong_letters(case, Rule.parse("a b -> a b; linear 0"), 2) == ["linear [0]"]


def test_axis_whose_sizes_may_differ_stays_whole() -> None:
    facts = OpFacts("", "Add", 18, (("n", 4), ("m", 4)), (None,))
    assert str(RULES.find(facts)) == "a b, a b -> a b; whole a; linear 0 1"


def test_axis_of_one_symbol_is_divided() -> None:
    facts = OpFacts("", "Add", 18, (("n", 4), ("n", 4)), (None,))
    assert str(RULES.find(facts)) == "a b, a b -> a b; linear 0 1"


@pytest.mark.parametrize("op_type", ["MatMul", "Add", "Softmax", "Transpose", "ReduceSum", "Concat", "Gather"])
def test_op_of_unknown_rank_has_no_rule(op_type: str) -> None:
    assert RULES.find(OpFacts("", op_type, 18, (None, None), (None,))) is None


def test_dropout_that_may_train_has_no_rule() -> None:
    case = Case("Dropout", (np.ones((2, 3), np.float32), np.array(0.5, np.float32), np.array(True)), {})
    assert case.rule() is None
    assert replace(case, inputs=(*case.inputs[:2], np.array(False)), constants=(2,)).rule() is not None


def test_reduction_over_axes_of_the_request_has_no_rule() -> None:
    assert Case("ReduceSum", (np.ones((2, 3), np.float32), np.array([1])), {}).rule() is None


@pytest.mark.parametrize(
    ("op_type", "after", "attributes", "text"),
    [
        ("ReduceSum", (3, 1, 2), {}, "a b c, - -> a 1 c; reduce b: sum; linear 0; solid a b c"),
        ("ReduceMax", (3, 1, 2), {}, "a b c, - -> a 1 c; reduce b: max; solid a b c"),
        (
            "ReduceMean",
            (3, 2),
            {"keepdims": 0},
            "a b c, - -> a c; whole b c; linear 0; solid a",
        ),  # or is it c that went?
        ("ReduceSum", (2,), {"keepdims": 0}, "a b c, - -> c; reduce a: sum; whole b c; linear 0; solid a"),
        ("ReduceSum", (3, 2, 2), {}, "a b c, - -> a b c; linear 0; solid a b c"),
    ],
)
def test_reduction_over_axes_of_the_request_is_seen_from_the_sizes(
    op_type: str, after: tuple[int, ...], attributes: dict[str, int], text: str
) -> None:
    facts = OpFacts("", op_type, 18, ((3, 2, 2), (1,)), (after,), attributes)
    assert str(RULES.find(facts)) == text
    assert RULES.find(replace(facts, shapes=(("n", 2, 2), (1,)))) is None


def test_axes_of_the_request_that_are_squeezed_are_seen_from_the_sizes() -> None:
    facts = OpFacts("", "Unsqueeze", 18, ((3, 1, 4), (2,)), ((1, 3, 1, 1, 4),))
    assert str(RULES.find(facts)) == "a 1 c, - -> 1 a 1 1 c; linear 0; solid a c"
    squeezed = OpFacts("", "Squeeze", 18, ((3, 1, 1, 4), (1,)), ((3, 1, 4),))
    assert str(RULES.find(squeezed)) == "a 1 1 d, - -> a 1 d; linear 0; solid a d"
    assert RULES.find(replace(squeezed, outputs=((4, 3),))) is None
    assert RULES.find(replace(squeezed, outputs=((3, 1, "n"),))) is None


def test_unknown_op_has_no_rule() -> None:
    assert RULES.find(OpFacts("", "NonZero", 18, ((4, 5),), (None,))) is None


def test_second_rule_of_an_op_is_refused() -> None:
    book = RuleBook()
    book.register("Op")(lambda _facts: None)
    again = book.register("Op")
    with pytest.raises(RuleError, match="::Op: expected one rule"):
        again(lambda _facts: Rule((), ()))


@pytest.mark.parametrize("text", ["a b", "a -> a; shrink a", "a -> ; reduce a", "a -> ; reduce a: mean"])
def test_malformed_rule_text_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="rule "):
        Rule.parse(text)
