"""Would the suite notice a reduction that is missing? Each rule's is taken out of the compiled model, and made another.

The models are the rules' golden cases. A mutant is killed when the ranks' answer, right before, is wrong after.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bundle.store import FolderStore
from client.verify import reference
from client.verify_compare import compare
from client.verify_run import run_ranks
from engine.errors import EngineError
from partition import Options
from partition.choices import Choice
from partition.compile import Prepared, Target, emit_bundle, prepare
from partition.placement import REPLICATE, Partial, Placement
from partition.planning import scheduled, whole_layout
from partition.policy import allowed_choices
from partition.search import cheapest_plan
from partition.sparse.fuse import Sparsity
from tests.conformance.judge import OpName
from tests.partition.oracle import Case
from tests.partition.test_rules import GOLDEN

RANKS = 2
RUN_S = 30.0
_DENSE = Options(sparsity=Sparsity(density=-1.0))
Change = Literal["dropped", "another"]
CHANGES: tuple[Change, ...] = ("dropped", "another")


@dataclass(frozen=True)
class Mutant:
    """One reduction, changed.

    letter: of the rule, that is divided.
    change: dropped = each rank takes its part for the whole; another = max for a sum, sum for the rest.
    sound:  whether the answer is right without the change: else the mutant says nothing.
    killed: whether it is wrong with the change.
    """

    op: OpName
    letter: str
    change: Change
    sound: bool
    killed: bool


def reducing() -> dict[tuple[OpName, str], Case]:
    """The first golden case of each op and letter with a reduction."""
    found: dict[tuple[OpName, str], Case] = {}
    for case in (golden.case for golden in GOLDEN):
        rule = case.rule()
        for letter in rule.reduce if rule else ():
            found.setdefault(((case.domain, case.op_type), letter), case)
    return found


def mutants() -> Iterator[Mutant]:
    """Every mutant of every rule's reductions, tried."""
    for (op, letter), case in reducing().items():
        prepared = prepare(as_model(case), _DENSE)
        feeds = {f"i{i}": value for i, value in variable_inputs(case)}
        expected = reference(as_model(case), feeds)
        found = _reducing_choice(prepared, op, letter)
        sound = found is not None and _is_right(prepared, *found, feeds, expected)
        for change in CHANGES:
            killed = False
            if found is not None and sound:
                at, choice = found
                changed = replace(choice, outputs=tuple(_changed(choice.outputs, change)))
                killed = not _is_right(prepared, at, changed, feeds, expected)
            yield Mutant(op, letter, change, sound, killed)


def as_model(case: Case) -> onnx.ModelProto:
    """A golden case as a model of one node: what its rule may see is an initializer, everything else an input."""
    names = ["" if value is None else f"i{i}" for i, value in enumerate(case.inputs)]
    node = helper.make_node(
        case.op_type, names, [f"o{i}" for i in range(case.outputs)], domain=case.domain, **case.attributes
    )
    infos = [
        helper.make_tensor_value_info(f"i{i}", helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for i, value in variable_inputs(case)
    ]
    variable = {i for i, _ in variable_inputs(case)}
    fixed = [
        numpy_helper.from_array(value, f"i{i}")
        for i, value in enumerate(case.inputs)
        if value is not None and i not in variable
    ]
    results = [
        helper.make_tensor_value_info(f"o{i}", helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for i, value in enumerate(case.run(case.inputs))
    ]
    graph = helper.make_graph([node], "case", infos, results, fixed)
    return helper.make_model(graph, opset_imports=case.opsets(), ir_version=10)


def variable_inputs(case: Case) -> list[tuple[int, np.ndarray[Any, np.dtype[Any]]]]:
    seen = {*case.constants, *case.weights}
    return [(i, value) for i, value in enumerate(case.inputs) if value is not None and i not in seen]


def _reducing_choice(prepared: Prepared, op: OpName, letter: str) -> tuple[int, Choice] | None:
    """Which op is divided along the letter, and how, its outputs being partial; None if none ever is."""
    graph = prepared.graph
    for strategy in ("row", "column"):
        for at, (node, choices) in enumerate(zip(graph.ops, allowed_choices(graph, strategy, RANKS), strict=True)):
            for choice in choices if (node.proto.domain, node.proto.op_type) == op else ():
                if choice.letter == letter and any(isinstance(p, Partial) for p in choice.outputs):
                    return at, choice
    return None


def _changed(outputs: Iterable[Placement], change: Change) -> Iterator[Placement]:
    for placement in outputs:
        if not isinstance(placement, Partial):
            yield placement
        elif change == "dropped":
            yield REPLICATE
        else:
            yield Partial("max" if placement.op == "sum" else "sum")


def _is_right(prepared: Prepared, at: int, choice: Choice, feeds: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether the ranks' answer is onnxruntime's if that op is divided so; a run that ends in an error is wrong."""
    graph = prepared.graph
    allowed = allowed_choices(graph, "row", RANKS)
    allowed[at] = (choice,)
    layout = whole_layout(scheduled(graph, prepared.layers, cheapest_plan(graph, allowed, RANKS), RANKS))
    with tempfile.TemporaryDirectory(prefix="fsd-mutation-") as folder:
        (shards := Path(folder) / "shards").mkdir()
        store = FolderStore(Path(folder) / "store")
        compiled = emit_bundle(prepared, layout, Target("mutant", "row", RANKS), shards)
        compiled.write(store)
        try:
            return compare(expected, run_ranks(store, compiled.manifest, feeds, RUN_S).outputs).ok
        except EngineError:
            return False


def as_lines(found: Sequence[Mutant]) -> list[str]:
    """A table for people."""
    lines = [
        f"| {'::'.join(filter(None, m.op))} | {m.letter} | {m.change} | {_verdict(m)} |"
        for m in sorted(found, key=lambda m: (m.op, m.letter, m.change))
    ]
    return ["| rule | letter | its reduction is | the suite |", "|---|---|---|---|", *lines]


def _verdict(mutant: Mutant) -> str:
    return "notices" if mutant.killed else "is blind" if mutant.sound else "has no sound case"
