"""Judges one backend test: does plain onnxruntime pass it, and do several ranks pass it then?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from onnx.backend.test.runner import Runner

from bundle.store import FolderStore
from client.verify_run import run_ranks
from partition import Options, UnsupportedModelError
from partition.choices import Choice
from partition.compile import Prepared, Target, emit_bundle, lay_out, prepare
from partition.graph import Graph
from partition.layout import Layout
from partition.planning import is_divided, scheduled, whole_layout
from partition.policy import allowed_choices
from partition.rules import RULES
from partition.search import cheapest_plan
from tests.conformance.collection import BackendTest, DataSet

Verdict = Literal["split", "replicated", "failed", "skipped"]
OpName = tuple[str, str]
RUN_S = 60.0
# Two units in the last place of float16, which ONNX grants bfloat16 likewise: its 1e-3 is less than one, and a graph in
# pieces rounds between ops that onnxruntime would fuse.
HALF_RTOL = 2**-9


@dataclass(frozen=True, order=True)
class Division:
    """How to compile."""

    strategy: str
    workers: int


STRATEGIES = ("row", "column", "batch", "auto")
FORCED = "forced"  # every op with a rule is divided, along each of its letters in turn, though it may not pay
EVERY_DIVISION = tuple(Division(s, p) for s in (*STRATEGIES, FORCED) for p in (2, 3))


@dataclass(frozen=True)
class Outcome:
    """What became of a test.

    division: None when it was skipped before any.
    reason:   one line, for failed and skipped.
    ruled:    whether an op of the model has a rule as it stands.
    split:    (domain, op type) of the ops with a rule that were computed in pieces.
    """

    test: str
    op: str
    division: Division | None
    verdict: Verdict
    reason: str = ""
    ruled: bool = False
    split: frozenset[OpName] = field(default_factory=frozenset)


def judge(test: BackendTest, divisions: Iterable[Division] = EVERY_DIVISION) -> list[Outcome]:
    """One outcome per division; a single one if the test was skipped."""
    try:
        model, sets = test.load()
        for inputs, expected in sets:
            _compare(test, expected, _run_whole(model, inputs))
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common root
        return [Outcome(test.name, test.op, None, "skipped", f"onnxruntime itself: {_line(error)}")]
    if not _repeats(model, sets):
        return [Outcome(test.name, test.op, None, "skipped", "random")]
    try:
        prepared = prepare(model, Options())
    except Exception as error:  # noqa: BLE001 - any error is this test's failure
        return [Outcome(test.name, test.op, d, "failed", _line(error)) for d in divisions]
    return [_divided(test, prepared, sets, division) for division in divisions]


def _divided(test: BackendTest, prepared: Prepared, sets: list[DataSet], division: Division) -> Outcome:
    ruled = any(RULES.find(prepared.graph.facts(op)) for op in prepared.graph.ops)
    split: set[OpName] = set()
    try:
        for layout, target in _layouts(prepared, test.name, division):
            with tempfile.TemporaryDirectory(prefix="fsd-conformance-") as folder:
                _run_divided(test, prepared, layout, target, sets, Path(folder))
            split |= _split_ops(layout)
    except UnsupportedModelError as error:
        return Outcome(test.name, test.op, division, "skipped", f"refused: {_line(error)}", ruled)
    except Exception as error:  # noqa: BLE001 - any error is this test's failure
        return Outcome(test.name, test.op, division, "failed", _line(error), ruled)
    return Outcome(test.name, test.op, division, "split" if split else "replicated", "", ruled, frozenset(split))


def _layouts(prepared: Prepared, name: str, division: Division) -> Iterator[tuple[Layout, Target]]:
    """As partition.compile_model does it, from a graph that was prepared once."""
    graph, workers = prepared.graph, division.workers
    if division.strategy == FORCED:
        for allowed in forced(graph, workers):
            plan = cheapest_plan(graph, allowed, workers)
            yield whole_layout(scheduled(graph, prepared.layers, plan, workers)), Target(name, "row", workers)
    else:
        chosen, layout = lay_out(prepared, division.strategy, workers, Options())
        yield layout, Target(name, chosen, workers)


def forced(graph: Graph, workers: int) -> Iterator[list[tuple[Choice, ...]]]:
    """For every op its n-th division, n = 0, 1, ...; an op that has none does as `row` allows."""
    by_op = list(zip(*(allowed_choices(graph, strategy, workers) for strategy in ("row", "column")), strict=True))
    splits = [tuple(dict.fromkeys(c for choices in pair for c in choices if c.mode == "split")) for pair in by_op]
    for turn in range(max((len(found) for found in splits), default=0) or 1):
        yield [(found[turn % len(found)],) if found else rows for found, (rows, _) in zip(splits, by_op, strict=True)]


def _run_divided(
    test: BackendTest, prepared: Prepared, layout: Layout, target: Target, sets: list[DataSet], folder: Path
) -> None:
    """Raises: whatever a rank raises; AssertionError if an output is outside ONNX's tolerance."""
    store = FolderStore(folder / "store")
    (folder / "shards").mkdir()
    compiled = emit_bundle(prepared, layout, target, folder / "shards")
    compiled.write(store)
    for inputs, expected in sets:
        feeds = dict(zip((spec.name for spec in compiled.manifest.inputs), inputs, strict=True))
        got = run_ranks(store, compiled.manifest, feeds, RUN_S).outputs
        _compare(test, expected, [got[spec.name] for spec in compiled.manifest.outputs], HALF_RTOL)


def _split_ops(layout: Layout) -> frozenset[OpName]:
    placed = [pair for part in layout.places for pair in zip(part.graph.ops, part.choices, strict=True)]
    return frozenset((op.proto.domain, op.proto.op_type) for op, choice in placed if is_divided(choice))


def _run_whole(model: onnx.ModelProto, inputs: list[Any]) -> list[Any]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names: list[str] = [info.name for info in session.get_inputs()]
    feeds: Mapping[str, Any] = dict(zip(names, inputs, strict=True))
    return list(session.run(None, feeds))


def _repeats(model: onnx.ModelProto, sets: list[DataSet]) -> bool:
    """Whether two runs agree: a random op may pass by having the right shape only."""
    first, second = (_run_whole(model, sets[0][0]) for _ in range(2)) if sets else ([], [])
    tensors = [(a, b) for a, b in zip(first, second, strict=True) if isinstance(a, np.ndarray)]
    return all(a.tobytes() == b.tobytes() if a.dtype != object else True for a, b in tensors)


def _compare(test: BackendTest, expected: list[Any], got: list[Any], half_rtol: float = 0.0) -> None:
    """By ONNX's own comparison; half_rtol: least relative tolerance where all outputs are float16."""
    half = all(getattr(value, "dtype", None) == np.float16 for value in expected)
    Runner.assert_similar_outputs(expected, got, max(test.rtol, half_rtol if half else 0.0), test.atol, test.name)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
