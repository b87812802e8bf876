"""A short series of `fsd chaos` on a cloud of its own; with `-m soak` the proof that it would notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos.cases import Case, Model, Uniform, register_cases
from chaos.harness import Series, measure_scale, run_series
from chaos.report import good, summary
from chaos.stage import ChaosStage, own_stage
from client.api import Client

# Those of the session's package.
LANES, RANKS = 2, 16
RUNS, SEED = 12, 4
THREE = ((Uniform("uniform", 6), "row", 2), (Uniform("uniform", 6), "column", 3), (Model("digits-mlp", 20), "batch", 4))


@contextmanager
def stage_among_faults(folder: Path, package: Path, defect: str = "") -> Iterator[tuple[ChaosStage, list[Case]]]:
    """A stage of the test's own with three models."""
    with own_stage(folder, lanes=LANES, ranks=RANKS, defect=defect, package=package) as stage:
        client = Client(stage.stage)
        yield stage, [case for model, how, count in THREE for case in register_cases(client, [model], [how], [count])]


def figures(stage: ChaosStage, cases: list[Case], series: Series) -> dict[str, Any]:
    return summary(series, run_series(stage, cases, series, told=lambda _end: None), 0.0)


def test_a_short_series_ends_in_right_answers_only_and_leaves_nothing(tmp_path: Path, stack_package: Path) -> None:
    with stage_among_faults(tmp_path, stack_package) as (stage, cases):
        found = figures(stage, cases, Series(RUNS, SEED, scale=measure_scale(stage, cases)))
    assert good(found), json.dumps(found)  # a text is shown whole
    assert (found["runs"], found["right"]) == (RUNS, RUNS)
    assert found["hit"] >= RUNS - 2
    assert sum(count > 0 for count in found["faults"].values()) >= RUNS - 2


@pytest.mark.soak
@pytest.mark.parametrize(("defect", "what"), [("deduplication", "wrong"), ("deadlines", "hangs")])
def test_without_a_safeguard_the_series_is_not_good(
    tmp_path: Path, stack_package: Path, defect: str, what: str
) -> None:
    with stage_among_faults(tmp_path, stack_package, defect) as (stage, cases):
        found = figures(stage, cases[:2], Series(12, SEED, defect))
    assert found[what] > 0, json.dumps(found)
    assert not good(found)
