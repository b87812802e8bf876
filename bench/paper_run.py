"""Makes the runs of the paper's table: on the embedded cloud where they are small, else in this process."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.inprocess import in_files, run_counted
from bench.paper import Case, Kept, Measured, Published, compared
from bench.paper_cloud import run_on_cloud
from bench.paper_compile import compiled, network_of
from client.progress import steps
from zoo.graphchallenge import GraphChallenge, Options

IN_PROCESS = "one process: the functions' channel classes over counted services in memory"
CLOUD_NEURONS = 4096
CHECKED, CHECKED_VALUES = 500, 1 << 23  # samples, neurons of them, held against numpy where no truth is published


@dataclass(frozen=True)
class Setting:
    """How to measure.

    data:          folder of the official files, or None.
    cloud_workers: by channel, up to so many run on the embedded cloud.
    control:       networks without structure.
    fresh:         measure again what is kept.
    """

    kept: Kept
    data: Path | None
    cloud_workers: Mapping[str, int] = field(default_factory=dict)
    control: bool = False
    fresh: bool = False


def measure(rows: Sequence[Published], setting: Setting) -> None:
    """Run what was not run before. Each run is kept as soon as it is measured."""
    cases = list(dict.fromkeys(_case(row, setting) for row in rows))
    todo = [case for case in cases if setting.fresh or setting.kept.get(case) is None]
    with steps("runs", len(todo)) as step:
        for case, measured in _measured(todo, setting):
            setting.kept.put(case, measured)
            step()


def kept_lines(rows: Sequence[Published], setting: Setting) -> list[dict[str, Any]]:
    """The table of what was measured before."""
    found = ((row, setting.kept.get(_case(row, setting))) for row in rows)
    return [compared(row, measured) for row, measured in found if measured]


def _case(row: Published, setting: Setting) -> Case:
    return Case(row.channel, row.neurons, row.workers, control=setting.control)


def _measured(cases: Sequence[Case], setting: Setting) -> Iterator[tuple[Case, Measured]]:
    there = [case for case in cases if _fits_cloud(case, setting)]
    here = [case for case in cases if case not in there]
    for case in there:
        yield case, run_on_cloud(case, setting.data, _compared(*network_of(case, setting.data), case.samples))
    for network in dict.fromkeys(_network(case) for case in here):
        yield from _in_process([case for case in here if _network(case) == network], setting)


def _fits_cloud(case: Case, setting: Setting) -> bool:
    return case.neurons <= CLOUD_NEURONS and case.workers <= setting.cloud_workers.get(case.channel, 0)


def _network(case: Case) -> tuple[int, int, int, bool]:
    return case.neurons, case.layers, case.samples, case.control


def _in_process(cases: Sequence[Case], setting: Setting) -> Iterator[tuple[Case, Measured]]:
    """Runs of one network."""
    card, options = network_of(cases[0], setting.data)
    sizes = sorted({case.workers for case in cases})
    truth = functools.cache(lambda: card.examples(options, _compared(card, options, cases[0].samples)))
    with tempfile.TemporaryDirectory(prefix="fsd-paper-") as folder:
        inputs = in_files(card.inputs(options, cases[0].samples), Path(folder))
        for store, manifest in compiled(card, options, sizes, Path(folder)):
            for case in (case for case in cases if case.workers == manifest.world_size):
                run = run_counted(store, manifest, inputs, case.channel)
                examples = truth()  # numpy's answer once for each network, not before the compiler has begun
                verdict = card.check({"y": np.asarray(run.outputs["y"][: len(examples.inputs["x"])])}, examples)
                yield case, Measured(run.calls, verdict.right, verdict.total, run.seconds, IN_PROCESS, manifest.info)


def _compared(card: GraphChallenge, options: Options, samples: int) -> int:
    """How many samples are held against the truth: all where it is published, else the first few."""
    return samples if card.has_published_truth(options) else min(samples, CHECKED, CHECKED_VALUES // card.neurons)
