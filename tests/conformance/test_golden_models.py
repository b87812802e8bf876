"""Golden cases as models, compiled and run in pieces: ops that ONNX's tests do not hold, and ops that are guarded."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import pytest

from bundle.store import FolderStore
from client.verify import reference
from client.verify_compare import compare
from client.verify_run import run_ranks
from partition import Options
from partition.choices import Choice
from partition.compile import Prepared, Target, emit_bundle, prepare
from partition.planning import scheduled, whole_layout
from partition.policy import allowed_choices
from partition.search import cheapest_plan
from tests.conformance.judge import forced
from tests.conformance.mutation import as_model, variable_inputs
from tests.partition.cases import Array, Golden
from tests.partition.test_rules import GOLDEN, case_name

RUN_S = 30.0
FOREIGN = [golden for golden in GOLDEN if golden.case.domain]
GUARDED = [(golden, letter) for golden in GOLDEN for letter in sorted(getattr(golden.case.rule(), "guard", ()))]


@pytest.mark.parametrize("golden", FOREIGN, ids=case_name)
def test_op_of_another_domain_is_right_in_pieces(golden: Golden) -> None:
    prepared = prepare(as_model(golden.case), Options())
    for allowed in forced(prepared.graph, 2):
        assert_right(golden, prepared, allowed, 2)


@pytest.mark.parametrize(("golden", "letter"), GUARDED, ids=lambda x: case_name(x) if isinstance(x, Golden) else str(x))
def test_guarded_op_is_right_on_more_ranks_than_there_are_pieces(golden: Golden, letter: str) -> None:
    size = max(value.shape[axis] for value, axis in carrying(golden, letter))
    workers = size + 1
    prepared = prepare(opened(golden, letter), Options())
    allowed = allowed_choices(prepared.graph, "tensor", workers)
    own = [tuple(c for c in choices if c.guarded and c.letter == letter) for choices in allowed]
    assert any(own)
    assert_right(golden, prepared, [found or choices for found, choices in zip(own, allowed, strict=True)], workers)


def carrying(golden: Golden, letter: str) -> list[tuple[Array, int]]:
    """(input, axis) of every input with the letter."""
    rule = golden.case.rule()
    assert rule is not None
    pairs = zip(golden.case.inputs, rule.inputs, strict=True)
    return [(value, axes.index(letter)) for value, axes in pairs if value is not None and letter in axes]


def opened(golden: Golden, letter: str) -> onnx.ModelProto:
    """The case's model, the size of a letter being left to the request."""
    model, rule = as_model(golden.case), golden.case.rule()
    assert rule is not None
    named = {f"i{i}": axes for i, axes in enumerate(rule.inputs)} | {
        f"o{i}": axes for i, axes in enumerate(rule.outputs)
    }
    for info in (*model.graph.input, *model.graph.output):
        for dim, axis in zip(info.type.tensor_type.shape.dim, named[info.name], strict=False):
            if axis == letter:
                dim.dim_param = "some"
    return model


def assert_right(golden: Golden, prepared: Prepared, allowed: list[tuple[Choice, ...]], workers: int) -> None:
    """Run in pieces as allowed, and compare with onnxruntime."""
    graph = prepared.graph
    layout = whole_layout(scheduled(graph, prepared.layers, cheapest_plan(graph, allowed, workers), workers))
    feeds = {f"i{i}": value for i, value in variable_inputs(golden.case)}
    with tempfile.TemporaryDirectory(prefix="fsd-golden-") as folder:
        (shards := Path(folder) / "shards").mkdir()
        store = FolderStore(Path(folder) / "store")
        compiled = emit_bundle(prepared, layout, Target("golden", "row", workers), shards)
        compiled.write(store)
        got = run_ranks(store, compiled.manifest, feeds, RUN_S).outputs
    assert compare(reference(as_model(golden.case), feeds), got).ok
