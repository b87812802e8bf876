"""The compiler: read, normalise, fuse sparse layers, choose, schedule, and write each rank's part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import onnx

from bundle.io import write_bundle
from bundle.manifest import PRECISIONS, Asset, Manifest, RankEntry, TensorSpec
from bundle.shard import ShardIndex
from bundle.store import Store
from partition.bounds import check_sizes
from partition.build import arrange
from partition.emit import RankOutput, emit_rank
from partition.errors import StrategyError, UnsupportedModelError
from partition.frontend import Source, load
from partition.graph import Graph, Op, from_ir
from partition.grid import grid_of, parse_strategy
from partition.held import layout_bytes
from partition.layout import Layout
from partition.moves import BY_COST
from partition.normalize import normalize
from partition.planning import layout_info, make_part
from partition.sized import sized_info
from partition.sizes import with_sizes
from partition.sparse.fuse import Sparsity, fuse_sparse
from partition.sparse.layers import SparseLayer
from partition.strategy import resolve_auto, within

_THREADS = 4  # that write shards at the same time: more would share one disk


@dataclass(frozen=True)
class Options:
    """Settings of a compilation.

    sparsity:     which dense weights are kept sparse.
    memory_bytes: what one worker may hold of weights; `auto` divides the model no further than this demands. None = no
                  limit, and 1 GiB is what `auto` takes a worker to hold.
    weight_share: the same in even shares: 1.1 = a tenth more than the model's weights divided by the workers.
    sizes:        to expect of dimensions that requests choose, by symbol; shapes: of whole inputs, by name. Estimates
                  follow them, the model still takes requests of any size.
    precision:    in what floats travel between ranks: "exact", or in fewer bits: "fp16", "bf16", "int8".
    merge_rows:   whether neurons of sparse layers that are equal, bias too, are computed once.
    """

    sparsity: Sparsity = field(default_factory=Sparsity)
    memory_bytes: int | None = None
    weight_share: float | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    precision: str = "exact"
    merge_rows: bool = False

    def __post_init__(self) -> None:
        """Refuse a precision that there is not.

        Raises:
            StrategyError: naming those that there are.
        """
        if self.precision not in PRECISIONS:
            raise StrategyError(f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")

    def limit(self, weight_bytes: int, workers: int) -> int | None:
        """Bytes of weights that a worker may hold; None = any number."""
        share = None if self.weight_share is None else int(self.weight_share * weight_bytes / workers)
        return min((limit for limit in (self.memory_bytes, share) if limit is not None), default=None)


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
    """Compile a model for `workers` ranks; the shards are written to `folder`.

    name: what to call the model; empty = as the graph calls itself.

    Raises:
        InvalidModelError: if the model is no ONNX that could run.
        UnsafeModelError: if it refers to files outside of its folder.
        StrategyError: if strategy or workers cannot be.
        UnsupportedModelError: if the strategy cannot place this graph.
    """
    strategy = parse_strategy(strategy, workers)
    options = options or Options()
    return compile_for(prepare(model, options), strategy, workers, folder, name=name, options=options)


def compile_for(
    prepared: Prepared, strategy: str, workers: int, folder: Path, *, name: str = "", options: Options
) -> CompiledModel:
    """As compile_model, of a model that was prepared under the same options: once for several numbers of workers.

    Raises:
        StrategyError, UnsupportedModelError: as compile_model.
    """
    chosen, layout = lay_out(prepared, parse_strategy(strategy, workers), workers, options)
    target = Target(name or prepared.graph.name, chosen, workers, options.precision)
    return emit_bundle(prepared, layout, target, folder)


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to be placed.

    layers:       the layers of each chain of sparse layers in the graph.
    source:       the model as it was read, which knows its version.
    weight_bytes: of the model, sparse weights as stored.
    """

    graph: Graph
    layers: Mapping[Op, tuple[SparseLayer, ...]]
    source: Source
    weight_bytes: int


@dataclass(frozen=True)
class Target:
    """What to compile for: name, strategy, ranks and precision as the manifest has them."""

    name: str
    strategy: str
    workers: int
    precision: str = "exact"


def prepare(model: onnx.ModelProto | Path, options: Options) -> Prepared:
    """Read, normalise, and fuse sparse layers.

    Raises:
        InvalidModelError, UnsafeModelError, UnsupportedModelError: as compile_model.
    """
    source = load(model)
    whole = from_ir(normalize(source.model), source.sparse, source.maps)
    check_sizes(whole)
    graph, layers = fuse_sparse(whole, options.sparsity)
    layers = {op: tuple(replace(layer, merge=options.merge_rows) for layer in chain) for op, chain in layers.items()}
    _check_symbols(graph, options.sizes)
    return Prepared(with_sizes(graph, options.sizes, options.shapes), layers, source, whole.weight_bytes)


def _check_symbols(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Raises: StrategyError, if a size is given of a dimension that no input has."""
    known = {dim for name in graph.inputs for dim in graph.values[name].shape or () if isinstance(dim, str)}
    if unknown := sorted(set(sizes) - known):
        raise StrategyError(f"sizes: expected dimensions of inputs ({', '.join(sorted(known))}), got {unknown[0]!r}")


def lay_out(prepared: Prepared, strategy: str, workers: int, options: Options) -> tuple[str, Layout]:
    """Who does what under a strategy that parse_strategy let through, and the strategy that `auto` chose.

    Raises:
        UnsupportedModelError: if the strategy cannot place this graph.
    """
    limit = options.limit(prepared.weight_bytes, workers)
    if strategy == "auto":
        found = resolve_auto(prepared.graph, prepared.layers, workers, limit)
        return found.strategy, found.layout
    place = make_part if limit is None else partial(within, limit, BY_COST)
    layout = arrange(prepared.graph, prepared.layers, grid_of(strategy, workers), place)
    if limit is not None and (most := max(layout_bytes(layout))) > limit:
        raise UnsupportedModelError(
            f"strategy {strategy}: expected at most {limit} bytes of weights on each of {workers} workers, got {most}"
        )
    return strategy, layout


def emit_bundle(prepared: Prepared, layout: Layout, target: Target, folder: Path) -> CompiledModel:
    """Write the parts of all ranks as laid out; shards of gigabytes pass through in blocks of megabytes.

    Most of the time goes into hashes, of what is read and of what is written, so each core does some.
    """
    paths = [folder / f"rank{rank}.shard" for rank in range(layout.workers)]
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        version = pool.submit(lambda: prepared.source.version)
        outputs = list(pool.map(lambda rank: _emit(layout, rank, paths[rank]), range(layout.workers)))
        version.result()
    assets: dict[str, bytes | Path] = {}
    for output, path in zip(outputs, paths, strict=True):
        assets.update(output.blobs)
        _keep_shard(assets, output.shard, path)
    return CompiledModel(_manifest(prepared, target, outputs, {**layout_info(layout), **sized_info(layout)}), assets)


def _emit(layout: Layout, rank: int, path: Path) -> RankOutput:
    with path.open("wb") as file:
        return emit_rank(layout, rank, file)


def _keep_shard(assets: dict[str, bytes | Path], shard: ShardIndex, path: Path) -> None:
    """Equal shards are one file; one without tensors is none."""
    if not shard.entries or shard.asset.sha256 in assets:
        path.unlink()
    else:
        assets[shard.asset.sha256] = path


def _manifest(prepared: Prepared, target: Target, outputs: list[RankOutput], info: Mapping[str, int | str]) -> Manifest:
    assets = {asset.sha256: asset for output in outputs for asset in _assets(output)}
    return Manifest(
        model=target.name,
        version=prepared.source.version,
        strategy=target.strategy,
        world_size=target.workers,
        inputs=tuple(_spec(prepared.graph, name) for name in prepared.graph.inputs),
        outputs=tuple(_spec(prepared.graph, name) for name in prepared.graph.outputs),
        assets=tuple(assets[key] for key in sorted(assets)),
        ranks=tuple(_rank_entry(rank, output) for rank, output in enumerate(outputs)),
        model_weight_bytes=prepared.weight_bytes,
        info={**info, **_least(outputs)},
        precision=target.precision,
    )


def _least(outputs: list[RankOutput]) -> Mapping[str, int]:
    """What costs.floor takes for the least that a run sends and waits for; nothing where nothing is exchanged."""
    sends, meetings = sum(out.least.sends for out in outputs), min(out.least.meetings for out in outputs)
    return {"least_sends": sends, "least_meetings": meetings} if sends else {}


def _assets(output: RankOutput) -> list[Asset]:
    shard = [output.shard.asset] if output.shard.entries else []
    return [output.program, *output.graphs, *shard]


def _rank_entry(rank: int, output: RankOutput) -> RankEntry:
    return RankEntry(
        rank=rank,
        program=output.program.sha256,
        shard=output.shard.asset.sha256 if output.shard.entries else "",
        graphs=tuple(asset.sha256 for asset in output.graphs),
        tensors=output.shard.entries,
        weight_bytes=output.weight_bytes,
    )


def _spec(graph: Graph, name: str) -> TensorSpec:
    """One named input or output of a request.

    Raises:
        UnsupportedModelError: if its type is unknown.
    """
    value = graph.values[name]
    if not value.dtype:
        raise UnsupportedModelError(
            f"value {name!r}: expected a tensor, or a sequence, map or optional, of known type, got another type"
        )
    shape = tuple(dim if isinstance(dim, int | str) else "" for dim in value.shape or ())
    return TensorSpec(name, value.dtype, shape)
