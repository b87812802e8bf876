"""The compiler: read, normalise, fuse sparse layers, choose, schedule, and write each rank's part."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from bundle.io import write_bundle
from bundle.manifest import Asset, Manifest, RankEntry, TensorSpec
from bundle.store import Store

from partition.choices import Choice
from partition.emit import RankOutput, emit_rank
from partition.errors import UnsupportedModelError
from partition.frontend import Source, load
from partition.graph import Graph, Op, from_ir
from partition.normalize import normalize
from partition.policy import allowed_choices, parse_strategy
from partition.schedule import Chain, make_schedule
from partition.search import cheapest_plan
from partition.sparse.fuse import Sparsity, fuse_sparse
from partition.sparse.layers import SparseLayer
from partition.sparse.parts import plan_chain
from partition.strategy import resolve_auto

_SPLIT_MODES = frozenset({"batch", "column", "partial", "row", "split"})


@dataclass(frozen=True)
class Options:
    """Settings of a compilation.

    sparsity:     which dense weights are kept sparse.
    memory_bytes: what one worker may hold of weights; `auto` divides the model no further than this demands.
    """

    sparsity: Sparsity = field(default_factory=Sparsity)
    memory_bytes: int = 1 << 30


@dataclass(frozen=True)
class CompiledModel:
    """A bundle that is not stored yet.

    manifest: what it consists of.
    assets:   bytes, or the file that holds them, by sha256; files live as long as the folder they were written to.
    """

    manifest: Manifest
    assets: Mapping[str, bytes | Path]

    def write(self, store: Store) -> str:
        """Store the bundle and return its id.

        Raises:
            BundleError: if the store refuses it.
        """
        return write_bundle(store, self.manifest, self.assets)


def compile_to_store(
    store: Store,
    model: onnx.ModelProto | Path,
    strategy: str,
    workers: int,
    *,
    name: str = "",
    options: Options | None = None,
) -> Manifest:
    """Compile a model and store its bundle; shards pass through a temporary folder.

    Raises:
        CompileError: as compile_model.
        BundleError: if the store refuses the bundle.
    """
    with tempfile.TemporaryDirectory(prefix="fsd-shards-") as folder:
        compiled = compile_model(model, strategy, workers, Path(folder), name=name, options=options)
        compiled.write(store)
        return compiled.manifest


def compile_model(
    model: onnx.ModelProto | Path,
    strategy: str,
    workers: int,
    folder: Path,
    *,
    name: str = "",
    options: Options | None = None,
) -> CompiledModel:
    """Compile a model for `workers` ranks; one shard at a time is written to `folder`.

    name: what to call the model; empty = as the graph calls itself.

    Raises:
        InvalidModelError: if the model is no ONNX that could run.
        UnsafeModelError: if it refers to files outside of its folder.
        StrategyError: if strategy or workers cannot be.
        UnsupportedModelError: if the strategy cannot place this graph.
    """
    parse_strategy(strategy, workers)
    options = options or Options()
    source = load(model)
    whole = from_ir(normalize(source.model), source.sparse)
    graph, layers = fuse_sparse(whole, options.sparsity)
    chosen = resolve_auto(graph, layers, strategy, workers, options.memory_bytes)
    return _emit(_Job(source, whole, graph, layers, chosen, workers, name or graph.name), folder)


@dataclass(frozen=True)
class _Job:
    source: Source
    whole: Graph
    graph: Graph
    layers: Mapping[Op, tuple[SparseLayer, ...]]
    strategy: str
    workers: int
    name: str


def _emit(job: _Job, folder: Path) -> CompiledModel:
    plan = cheapest_plan(job.graph, allowed_choices(job.graph, job.strategy, job.workers), job.workers)
    levels = make_schedule(job.graph, plan, job.workers, frozenset(job.layers))
    found = [item for level in levels for item in level.after if isinstance(item, Chain)]
    chains = {chain: plan_chain(chain, job.layers[chain.op], job.workers) for chain in found}
    outputs: list[RankOutput] = []
    assets: dict[str, bytes | Path] = {}
    for rank in range(job.workers):
        path = folder / f"rank{rank}.shard"
        with path.open("wb") as file:
            outputs.append(emit_rank(job.graph, levels, chains, rank, job.workers, file))
        assets.update(outputs[-1].blobs)
        _keep_shard(assets, outputs[-1].shard.asset, path)
    return CompiledModel(_manifest(job, outputs, _info(job.graph, plan.choices)), assets)


def _keep_shard(assets: dict[str, bytes | Path], shard: Asset, path: Path) -> None:
    """Equal shards are one file; an empty one is none."""
    if shard.size_bytes == 0 or shard.sha256 in assets:
        path.unlink()
    else:
        assets[shard.sha256] = path


def _manifest(job: _Job, outputs: list[RankOutput], info: Mapping[str, int | str]) -> Manifest:
    assets = {asset.sha256: asset for output in outputs for asset in _assets(output)}
    return Manifest(
        model=job.name,
        version=job.source.version,
        strategy=job.strategy,
        world_size=job.workers,
        inputs=tuple(_spec(job.graph, name) for name in job.graph.inputs),
        outputs=tuple(_spec(job.graph, name) for name in job.graph.outputs),
        assets=tuple(assets[key] for key in sorted(assets)),
        ranks=tuple(_rank_entry(rank, output) for rank, output in enumerate(outputs)),
        model_weight_bytes=job.whole.weight_bytes,
        info=info,
    )


def _assets(output: RankOutput) -> list[Asset]:
    shard = [output.shard.asset] if output.shard.asset.size_bytes else []
    return [output.program, *output.graphs, *shard]


def _rank_entry(rank: int, output: RankOutput) -> RankEntry:
    return RankEntry(
        rank=rank,
        program=output.program.sha256,
        shard=output.shard.asset.sha256 if output.shard.asset.size_bytes else "",
        graphs=tuple(asset.sha256 for asset in output.graphs),
        tensors=output.shard.entries if output.shard.asset.size_bytes else (),
        weight_bytes=output.weight_bytes,
    )


def _spec(graph: Graph, name: str) -> TensorSpec:
    """One named input or output of a request.

    Raises:
        UnsupportedModelError: if it is no tensor of known type and rank.
    """
    value = graph.values[name]
    if not value.dtype:
        raise UnsupportedModelError(
            f"value {name!r}: expected a tensor of known type, got none; requests carry tensors only"
        )
    shape = tuple(dim if isinstance(dim, int | str) else "" for dim in value.shape or ())
    return TensorSpec(name, value.dtype, shape)


def _info(graph: Graph, choices: tuple[Choice, ...]) -> dict[str, int | str]:
    split = sum(choice.mode in _SPLIT_MODES for choice in choices)
    return {"split_ops": split, "replicated_ops": len(graph.ops) - split}
