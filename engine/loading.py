"""Brings one rank of a bundle into memory, as far as the cache does not hold it already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bundle.dtypes import PACKED_DTYPES
from bundle.io import read_asset
from bundle.manifest import Manifest, RankEntry
from bundle.shard import read_shard
from bundle.store import Store
from engine.cache import ShardCache
from engine.codec import program_from_json
from engine.errors import ProgramError
from engine.loaded import LoadedRank
from engine.program import Program, Run
from engine.session_settings import SessionSettings

if TYPE_CHECKING:
    from engine.sessions import Session


def needed_assets(manifest: Manifest) -> Sequence[Mapping[str, int]]:
    """By rank: bytes of each asset that it needs, by sha256. A slot that holds most of them is the one to pick."""
    sizes = {asset.sha256: asset.size_bytes for asset in manifest.assets}
    return [{sha256: sizes[sha256] for sha256 in rank_assets(entry)} for entry in manifest.ranks]


def rank_assets(entry: RankEntry) -> Iterator[str]:
    """sha256 of each asset that a rank needs."""
    yield entry.program
    yield from entry.graphs
    if entry.shard:
        yield entry.shard


def load_rank(
    store: Store, manifest: Manifest, rank: int, cache: ShardCache, settings: SessionSettings | None = None
) -> LoadedRank:
    """A rank, ready to run. In a warm process nothing is read, parsed or built again.

    Raises:
        ProgramError: if there is no such rank, or its program or a sub-graph is not what this machine can run.
        BundleError: if an asset is missing or damaged.
    """
    if not 0 <= rank < manifest.world_size:
        raise ProgramError(f"rank: expected one in [0, {manifest.world_size}), got {rank}")
    return _Loader(store, manifest, manifest.ranks[rank], cache, settings or SessionSettings()).load()


class _Loader:
    def __init__(
        self, store: Store, manifest: Manifest, entry: RankEntry, cache: ShardCache, settings: SessionSettings
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._entry = entry
        self._cache = cache
        self._settings = settings
        self._assets = {asset.sha256: asset for asset in manifest.assets}

    def load(self) -> LoadedRank:
        blobs = {sha256: self._blob(sha256) for sha256 in rank_assets(self._entry)}
        key = ("rank", self._manifest.bundle_id, self._entry.rank, self._settings)
        return self._cache.built(key, blobs, lambda: self._build(blobs))

    def _blob(self, sha256: str) -> memoryview:
        return self._cache.asset(sha256, lambda: read_asset(self._store, self._manifest, self._assets[sha256]))

    def _build(self, blobs: Mapping[str, memoryview]) -> LoadedRank:
        program = program_from_json(bytes(blobs[self._entry.program]))
        if (program.rank, program.world_size) != (self._entry.rank, self._manifest.world_size):
            raise ProgramError(
                f"program: expected rank {self._entry.rank} of {self._manifest.world_size}, "
                f"got {program.rank} of {program.world_size}"
            )
        shard = blobs.get(self._entry.shard, memoryview(b""))
        loaded = LoadedRank(
            program=program,
            weights=read_shard(shard, self._entry.tensors),
            outputs=tuple(spec.name for spec in self._manifest.outputs),
        )
        sessions = {run.graph: self._session(run, loaded, blobs, shard) for run in _onnx_runs(program)}
        return LoadedRank(program, loaded.weights, sessions, loaded.outputs)

    def _session(self, run: Run, loaded: LoadedRank, blobs: Mapping[str, memoryview], shard: memoryview) -> Session:
        if run.graph not in blobs:
            raise ProgramError(f"step {run.step}: sub-graph {run.graph!r} is not among the rank's assets")
        dtypes = {entry.name: entry.dtype for entry in self._entry.tensors}
        packed = any(dtypes.get(name) in PACKED_DTYPES for name in run.weights)
        data = shard if run.weights else memoryview(b"")
        weights = {} if packed else {name: loaded.weight(name) for name in run.weights}
        key = ("session", run.graph, self._entry.shard, run.weights, self._settings)
        parents = [sha256 for sha256 in (run.graph, self._entry.shard) if sha256]
        return self._cache.built(key, parents, lambda: _build(blobs[run.graph], weights, data, self._settings))


def _build(
    graph: memoryview, weights: Mapping[str, NDArray[np.generic]], shard: memoryview, settings: SessionSettings
) -> Session:
    from engine.sessions import build_session  # a model without dense stages never imports onnxruntime

    return build_session(graph, weights, shard, settings)


def _onnx_runs(program: Program) -> Iterator[Run]:
    """The first instruction of each sub-graph."""
    seen: set[str] = set()
    for instruction in program.instructions:
        if isinstance(instruction, Run) and instruction.kernel == "onnx" and instruction.graph not in seen:
            seen.add(instruction.graph)
            yield instruction
