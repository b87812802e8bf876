"""Makes the runs of the paper's table: on the embedded cloud where they are small, else in this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.graphchallenge import BenchCase, run_case
from bench.inprocess import run_counted
from bench.paper import Case, Kept, Measured, Published, compared
from bundle.store import FolderStore
from client.api import Client
from client.errors import CloudError
from client.progress import steps
from client.target import find_stage
from costs import calls_from_json
from partition import compile_to_store
from zoo.card import Arrays
from zoo.graphchallenge import GraphChallenge, Options

IN_PROCESS = "one process: the functions' channel classes over counted services in memory"
ON_CLOUD = "embedded cloud: a function process for each worker, warm request"
CLOUD_NEURONS, CLOUD_WORKERS = 4096, 8
CHECKED = 500  # samples held against numpy's answer where no truth is published


@dataclass(frozen=True)
class Setting:
    """How to measure.

    data:          folder of the official files, or None.
    cloud_workers: up to so many run on the embedded cloud.
    control:       networks without structure.
    fresh:         measure again what is kept.
    """

    kept: Kept
    data: Path | None
    cloud_workers: int = 0
    control: bool = False
    fresh: bool = False


def deployed_workers(environment: Mapping[str, str] = os.environ) -> int:
    """Up to how many workers a run may take as function processes here: none without a deployed embedded cloud."""
    if environment.get("FSD_TARGET") == "aws":
        return 0
    try:
        find_stage(environment=environment)
    except CloudError:
        return 0
    return CLOUD_WORKERS


def paper_lines(rows: Sequence[Published], setting: Setting) -> list[dict[str, Any]]:
    """The table: every published row with our run of its case."""
    cases = [_case(row, setting) for row in rows]
    done: dict[Case, Measured] = {}
    lines = []
    with steps("published runs", len(rows)) as step:
        for row, case in zip(rows, cases, strict=True):
            if case not in done:
                done |= _all_of_bundle([other for other in cases if _bundle(other) == _bundle(case)], setting)
            lines.append(compared(row, done[case]))
            step()
    return lines


def kept_lines(rows: Sequence[Published], setting: Setting) -> list[dict[str, Any]]:
    """The table of what was measured before."""
    found = ((row, setting.kept.get(_case(row, setting))) for row in rows)
    return [compared(row, measured) for row, measured in found if measured]


def _case(row: Published, setting: Setting) -> Case:
    return Case(row.channel, row.neurons, row.workers, control=setting.control)


def _all_of_bundle(cases: Sequence[Case], setting: Setting) -> dict[Case, Measured]:
    """Runs of one compiled bundle: those that are kept, and the others measured and kept."""
    distinct = list(dict.fromkeys(cases))
    known = {} if setting.fresh else {case: found for case in distinct if (found := setting.kept.get(case))}
    for case, measured in _measured([case for case in distinct if case not in known], setting):
        setting.kept.put(case, measured)
        known[case] = measured
    return known


def _bundle(case: Case) -> tuple[int, int, int, int, bool]:
    return case.neurons, case.workers, case.layers, case.samples, case.control


def _measured(cases: Sequence[Case], setting: Setting) -> Iterator[tuple[Case, Measured]]:
    here = [case for case in cases if case.neurons > CLOUD_NEURONS or case.workers > setting.cloud_workers]
    for case in cases:
        if case not in here:
            yield case, _on_cloud(case, setting)
    if here:
        yield from _in_process(here, setting)


def _on_cloud(case: Case, setting: Setting) -> Measured:
    result = run_case(
        Client(),
        BenchCase(case.neurons, case.workers, case.channel, "row", case.layers, case.samples, setting.data),
    )
    warm = result["warm"]
    calls = calls_from_json(warm["calls"])
    return Measured(calls, result["right"], result["compared"], warm["seconds"], f"{ON_CLOUD} by {warm['channel']}", {})


def _in_process(cases: Sequence[Case], setting: Setting) -> Iterator[tuple[Case, Measured]]:
    first = cases[0]
    card = GraphChallenge(first.neurons)
    options = Options(layers=first.layers, data=setting.data, control=first.control)
    with tempfile.TemporaryDirectory(prefix="fsd-paper-") as folder:
        store = FolderStore(Path(folder) / "store")
        manifest = compile_to_store(store, card.build(options, Path(folder)), "row", first.workers)
        inputs = card.inputs(options, first.samples)
        for case in cases:
            run = run_counted(store, manifest, inputs, case.channel)
            right, checked = _check(card, options, run.outputs, case.samples)
            yield case, Measured(run.calls, right, checked, run.seconds, IN_PROCESS, manifest.info)


def _check(card: GraphChallenge, options: Options, outputs: Arrays, samples: int) -> tuple[int, int]:
    """Samples right, and how many were compared: all where truth is published, else the first few."""
    count = samples if card.has_published_truth(options) else min(samples, CHECKED)
    examples = card.examples(options, count)
    verdict = card.check({"y": np.asarray(outputs["y"][:count])}, examples)
    return verdict.right, verdict.total
