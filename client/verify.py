"""Everybody's oracle: compile a model, run all ranks in this process, and hold the answer against plain onnxruntime."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from bundle.io import read_asset
from bundle.manifest import Manifest
from bundle.store import FolderStore, Store
from client.rank_process import RankOutcome
from client.verify_compare import Difference, compare
from client.verify_inputs import random_inputs
from client.verify_processes import run_processes
from client.verify_run import SplitRun, Value, run_ranks
from engine.codec import program_from_json
from engine.program import Exchange
from engine.sessions import Session
from partition import InvalidModelError, Options, compile_to_store
from runs.catalog import merged_rows

_ONE_NAME = {"recv": "send"}  # the two ends of one exchange


@dataclass(frozen=True)
class RankReport:
    """One rank.

    weight_bytes:   of the model's weights in its shard.
    peak_bytes:     most bytes of live tensors; of a process of its own its largest resident set (VmHWM).
    tensor_bytes:   most bytes of live tensors.
    baseline_bytes: resident set of the process before it loaded anything: Python and onnxruntime; 0 without processes.
    """

    rank: int
    weight_bytes: int
    peak_bytes: int
    tensor_bytes: int
    baseline_bytes: int = 0


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    ok:                 every output is within tolerance (client.verify_compare.TOLERANCES).
    max_rel_err:        relative to the largest value of the output.
    strategy:           as compiled: what `auto` chose.
    exchanges:          number of exchanges by kind.
    exchanged_bytes:    bytes of the tensors that ranks sent, before encoding.
    problems:           one line per output that differs.
    merged:             rows of sparse layers merged into equal ones, and saved_bytes; empty where none were looked for.
    """

    ok: bool
    max_abs_err: float
    max_rel_err: float
    strategy: str
    world_size: int
    model_weight_bytes: int
    ranks: tuple[RankReport, ...]
    exchanges: Mapping[str, int]
    exchanged_bytes: int
    split_ops: int
    replicated_ops: int
    problems: tuple[str, ...] = ()
    merged: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)


def run_split(
    model: onnx.ModelProto | Path,
    inputs: Mapping[str, Value],
    workers: int,
    strategy: str,
    options: Options | None = None,
    *,
    memory_bytes: int | None = None,
    weight_share: float | None = None,
) -> dict[str, Value]:
    """The model's outputs by name, computed by `workers` ranks in this process.

    memory_bytes, weight_share: limits of the weights on a rank, as in Options.

    Raises:
        CompileError: if the model or the request cannot be.
        EngineError, ChannelError: if a rank fails.
    """
    with tempfile.TemporaryDirectory(prefix="fsd-verify-") as folder:
        store = FolderStore(folder)
        limits = {"memory_bytes": memory_bytes, "weight_share": weight_share}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        wanted = replace(_expecting(options, inputs), **given)  # type: ignore[arg-type]
        manifest = compile_to_store(store, model, strategy, workers, options=wanted)
        return run_ranks(store, manifest, inputs).outputs


def _expecting(options: Options | None, inputs: Mapping[str, Value] | None) -> Options:
    """The options, with the inputs' sizes as those to expect where none are given."""
    options = options or Options()
    if options.sizes or options.shapes or inputs is None:
        return options
    arrays = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
    return replace(options, shapes={name: value.shape for name, value in arrays.items()})


def verify(
    model: onnx.ModelProto | Path,
    inputs: Mapping[str, Value] | None,
    workers: int,
    strategy: str,
    options: Options | None = None,
    *,
    processes: bool = False,
    precision: str = "exact",
) -> VerifyReport:
    """Compile, run split, and compare with onnxruntime on the model as it is.

    inputs:    by name; None = seeded random ones.
    processes: each rank in a process of its own.
    precision: of floats between ranks, where no options are given.

    Raises:
        CompileError: if the model or the request cannot be.
        EngineError, ChannelError: if a rank fails.
    """
    with tempfile.TemporaryDirectory(prefix="fsd-verify-") as folder:
        store = FolderStore(folder)
        wanted = _expecting(options or Options(precision=precision), inputs)
        manifest = compile_to_store(store, model, strategy, workers, options=wanted)
        feeds = random_inputs(manifest.inputs) if inputs is None else inputs
        expected = reference(model, feeds)  # first: a model that onnxruntime refuses is the model's fault
        if processes:
            outputs, ranks = run_processes(Path(folder), manifest, feeds)
        else:
            outputs, ranks = _figures(run_ranks(store, manifest, feeds))
        return _report(manifest, store, compare(expected, outputs), ranks)


def reference(model: onnx.ModelProto | Path, inputs: Mapping[str, Value]) -> dict[str, Value]:
    """The outputs by name of plain onnxruntime, which makes sparse initializers dense.

    Raises:
        InvalidModelError: if onnxruntime cannot run the model on these inputs.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    try:
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        feeds = [inputs[spec.name] for spec in session.get_inputs()]
        outputs = Session(session).run(feeds, "model")  # takes and gives element types that numpy lacks, too
        return dict(zip((spec.name for spec in session.get_outputs()), outputs, strict=True))
    except Exception as error:  # onnxruntime's errors have no common root
        raise InvalidModelError(f"onnxruntime refuses the model or its inputs: {error}") from error


def _figures(run: SplitRun) -> tuple[dict[str, Value], tuple[RankOutcome, ...]]:
    """A run in threads as one in processes: the peak is that of the tensors."""
    peaks = ((machine.peak_bytes, sum(record.sent_bytes for record in machine.trace)) for machine in run.machines)
    return run.outputs, tuple(RankOutcome(peak, 0, peak, sent) for peak, sent in peaks)


def _report(manifest: Manifest, store: Store, difference: Difference, ranks: Sequence[RankOutcome]) -> VerifyReport:
    return VerifyReport(
        ok=difference.ok,
        max_abs_err=difference.max_abs_err,
        max_rel_err=difference.max_rel_err,
        strategy=manifest.strategy,
        world_size=manifest.world_size,
        model_weight_bytes=manifest.model_weight_bytes,
        ranks=tuple(
            RankReport(entry.rank, entry.weight_bytes, rank.peak_bytes, rank.tensor_bytes, rank.baseline_bytes)
            for entry, rank in zip(manifest.ranks, ranks, strict=True)
        ),
        exchanges=exchange_counts(manifest, store),
        exchanged_bytes=sum(rank.sent_bytes for rank in ranks),
        split_ops=int(manifest.info["split_ops"]),
        replicated_ops=int(manifest.info["replicated_ops"]),
        problems=difference.problems,
        merged=merged_rows(manifest.info),
    )


def exchange_counts(manifest: Manifest, store: Store) -> dict[str, int]:
    """Exchanges by kind; one in which several ranks take part counts once."""
    assets = {asset.sha256: asset for asset in manifest.assets}
    steps: dict[int, str] = {}
    for entry in manifest.ranks:
        program = program_from_json(bytes(read_asset(store, manifest, assets[entry.program])))
        steps |= {
            item.step: _ONE_NAME.get(item.kind, item.kind)
            for item in program.instructions
            if isinstance(item, Exchange)
        }
    return dict(sorted(Counter(steps.values()).items()))
