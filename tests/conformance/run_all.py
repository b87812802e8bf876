"""`make conformance`: every test on every division, in as many processes as there are cores.

Prints passed-split, passed-replicated and failed per op, and whether a reduction that is missing would be noticed. Exit
status 1 if any failed, a rule is exercised by nothing, or a missing reduction is not noticed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from tests.conformance.collection import collect
from tests.conformance.judge import EVERY_DIVISION, FORCED, STRATEGIES, Division, Outcome, judge
from tests.conformance.mutation import as_lines, mutants
from tests.conformance.summary import as_markdown, summarise

REPORT = Path(__file__).parents[2] / "bench" / "results" / "conformance.md"


def judge_share(part: int, parts: int, divisions: Sequence[Division]) -> list[Outcome]:
    """Outcomes of every parts-th test."""
    return [outcome for test in collect()[part::parts] for outcome in judge(test, divisions)]


def judge_all(processes: int, divisions: Sequence[Division] = EVERY_DIVISION) -> list[Outcome]:
    """Outcomes of all tests."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        shares = pool.map(judge_share, range(processes), repeat(processes), repeat(divisions))
        return [outcome for share in shares for outcome in share]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write the report, print it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run_all", description=__doc__)
    known = (*STRATEGIES, FORCED)
    parser.add_argument("--strategies", nargs="+", choices=known, default=known, help="default: all")
    wanted = parser.parse_args(arguments).strategies
    divisions = [division for division in EVERY_DIVISION if division.strategy in wanted]
    outcomes = judge_all(os.cpu_count() or 1, divisions)
    summary = summarise(outcomes)
    changed = list(mutants())
    text = "\n".join([as_markdown(summary, outcomes), "## Reductions taken out", "", *as_lines(changed), ""])
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text, encoding="utf-8")
    print(text)
    return 0 if summary.ok and all(mutant.killed for mutant in changed) else 1


if __name__ == "__main__":
    sys.exit(main())
