"""Counts outcomes by op, says which rules nothing exercised, and writes both down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from partition.rules import RULES
from tests.conformance.judge import FORCED, STRATEGIES, OpName, Outcome
from tests.partition.test_rules import GOLDEN

# Rules that no model of ONNX holds: tests/partition/test_sparse.py has them.
ELSEWHERE = frozenset({("fsd.sparse", "SparseChain")})
VERDICTS = ("split", "replicated", "failed", "skipped")


@dataclass(frozen=True)
class Summary:
    """What a set of outcomes says.

    by_op:      op -> verdict -> number of runs.
    failures:   outcomes that failed.
    untested:   rules that neither a run nor a golden case exercises.
    case_only:  rules that a golden case exercises, but no run.
    split_share: of the node tests of an op with a rule that ran, the share that a strategy computed in pieces: whether
                 or not the rule holds for the test's axes and attributes.
    whole:       the other node tests of an op with a rule.
    """

    by_op: dict[str, Counter[str]]
    failures: tuple[Outcome, ...]
    untested: tuple[OpName, ...]
    case_only: tuple[OpName, ...]
    split_share: float
    whole: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing failed, and every rule is exercised."""
        return not self.failures and not self.untested


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """The summary of some outcomes."""
    by_op: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        by_op[outcome.op][outcome.verdict] += 1
    exercised = {name for outcome in outcomes for name in outcome.split}
    cases = {(golden.case.domain, golden.case.op_type) for golden in GOLDEN}
    split, whole = _by_rule(outcomes)
    unseen = [name for name in RULES.known() if name not in exercised | ELSEWHERE]
    return Summary(
        dict(sorted(by_op.items())),
        tuple(o for o in outcomes if o.verdict == "failed"),
        tuple(name for name in unseen if name not in cases),
        tuple(name for name in unseen if name in cases),
        len(split) / max(1, len(split) + len(whole)),
        whole,
    )


def _by_rule(outcomes: Iterable[Outcome]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The node tests of ops with a rule: those that a strategy divided, and the others."""
    known = {f"{domain}::{op}" if domain else op for domain, op in RULES.known()}
    ran = [o for o in outcomes if o.op in known and o.division and o.division.strategy != FORCED]
    split = {o.test for o in ran if o.verdict == "split"}
    return tuple(sorted(split)), tuple(sorted({o.test for o in ran} - split))


def as_markdown(summary: Summary, outcomes: Sequence[Outcome]) -> str:
    """The summary for people."""
    return "\n".join(
        [
            "# Conformance",
            "",
            "ONNX's backend tests (`onnx.backend.test`) on 2 and 3 ranks, with ONNX's tolerances (float16: two units "
            "in the last place, as ONNX grants bfloat16). `make conformance` writes this file.",
            "",
            *_totals(outcomes),
            "",
            f"Of the node tests of an op with a rule, {summary.split_share:.1%} ran in pieces under a strategy. "
            f"`{FORCED}` divides every op that its rule lets it, along each axis in turn.",
            "",
            f"The others, {len(summary.whole)} tests: {', '.join(summary.whole) or 'none'}.",
            "",
            f"Rules that only tests/partition/cases.py exercises: {_names(summary.case_only)}. "
            f"Exercised by nothing: {_names(summary.untested)}.",
            "",
            *_skips(outcomes),
            "",
            *_failures(summary),
            "## By op",
            "",
            "Runs: a test on one division.",
            "",
            *_table(("op", *VERDICTS), ((op, *(counts[v] for v in VERDICTS)) for op, counts in summary.by_op.items())),
            "",
        ]
    )


def _totals(outcomes: Sequence[Outcome]) -> list[str]:
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        if outcome.division:
            counts[outcome.division.strategy, outcome.division.workers][outcome.verdict] += 1
    order = sorted(counts, key=lambda key: ((*STRATEGIES, FORCED).index(key[0]), key[1]))
    rows = ((*key, *(counts[key][v] for v in VERDICTS)) for key in order)
    return _table(("strategy", "ranks", "passed, split", "passed, replicated", "failed", "refused"), rows)


def _skips(outcomes: Sequence[Outcome]) -> list[str]:
    reasons = Counter(o.reason.split(":")[0] for o in outcomes if o.division is None)
    texts = {"onnxruntime itself": "plain onnxruntime does not pass it here", "random": "its answer is random"}
    found = [f"{count} tests: {texts.get(reason, reason)}" for reason, count in sorted(reasons.items())]
    return [f"Not run: {'; '.join(found) or 'none'}."]


def _failures(summary: Summary) -> list[str]:
    if not summary.failures:
        return []
    rows = ((o.test, o.division.strategy, o.division.workers, o.reason) for o in summary.failures if o.division)
    return ["## Failed", "", *_table(("test", "strategy", "ranks", "reason"), rows), ""]


def _names(names: Sequence[OpName]) -> str:
    return ", ".join(f"{domain}::{op}" if domain else op for domain, op in names) or "none"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [" | ".join(str(cell).replace("|", "/") for cell in row) for row in rows]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {line} |" for line in lines)]
