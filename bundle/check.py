"""Hold the parts of a manifest against each other: every violation is one line, none means sound."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from bundle.dtypes import DTYPES, STRING, byte_count, is_container
from bundle.manifest import ALIGNMENT, PRECISIONS, Asset, AssetKind, Info, Manifest, RankEntry, TensorEntry, TensorSpec

_SHA256 = re.compile(r"[0-9a-f]{64}")


def manifest_violations(manifest: Manifest) -> list[str]:
    """Everything that is wrong with a manifest, one line each."""
    return [*_header(manifest), *_signature(manifest), *_assets(manifest), *_ranks(manifest), *_unused(manifest)]


def _header(manifest: Manifest) -> Iterator[str]:
    if not _SHA256.fullmatch(manifest.version):
        yield f"version: expected 64 hex digits, got {manifest.version!r}"
    if manifest.world_size < 1 or manifest.world_size != len(manifest.ranks):
        yield f"world_size: expected the number of ranks {len(manifest.ranks)} >= 1, got {manifest.world_size}"
    if manifest.precision not in PRECISIONS:
        yield f"precision: expected one of {', '.join(PRECISIONS)}, got {manifest.precision!r}"
    for key, value in manifest.info.items():
        if not isinstance(value, Info) or (isinstance(value, float) and not math.isfinite(value)):
            yield f"info[{key!r}]: expected a bool, finite number or string, got {value!r}"


def _signature(manifest: Manifest) -> Iterator[str]:
    for side, specs in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        yield from _repeated(side, [spec.name for spec in specs])
        for spec in specs:
            yield from _spec(f"{side}[{spec.name!r}]", spec)


def _spec(where: str, spec: TensorSpec) -> Iterator[str]:
    if not spec.name:
        yield f"{where}: expected a name, got none"
    if spec.dtype != STRING and spec.dtype not in DTYPES and not is_container(spec.dtype):
        known = f"'string' or one of {sorted(DTYPES)}, or seq(...), map(...), optional(...) of those"
        yield f"{where}.dtype: expected {known}, got {spec.dtype!r}"
    if any(isinstance(size, int) and size < 0 for size in spec.shape):
        yield f"{where}.shape: expected sizes >= 0, got {spec.shape}"


def _assets(manifest: Manifest) -> Iterator[str]:
    yield from _repeated("assets", [asset.sha256 for asset in manifest.assets])
    for i, asset in enumerate(manifest.assets):
        if not _SHA256.fullmatch(asset.sha256) or asset.size_bytes < 0:
            yield f"assets[{i}]: expected 64 hex digits and a size >= 0, got {asset.sha256!r}, {asset.size_bytes}"


def _unused(manifest: Manifest) -> Iterator[str]:
    used = {ref for rank in manifest.ranks for ref in (rank.program, rank.shard, *rank.graphs)}
    for unused in sorted({asset.sha256 for asset in manifest.assets} - used):
        yield f"assets: {unused!r} is used by no rank"


def _ranks(manifest: Manifest) -> Iterator[str]:
    known = {asset.sha256: asset for asset in manifest.assets}
    for i, entry in enumerate(manifest.ranks):
        if entry.rank != i:
            yield f"ranks[{i}].rank: expected {i}, got {entry.rank}"
        yield from _references(f"ranks[{i}]", entry, known)
        yield from _repeated(f"ranks[{i}].tensors", [tensor.name for tensor in entry.tensors])
        size = known[entry.shard].size_bytes if entry.shard in known else 0
        for tensor in entry.tensors:
            yield from entry_violations(f"ranks[{i}].tensors[{tensor.name!r}]", tensor, size)


def _references(where: str, entry: RankEntry, known: dict[str, Asset]) -> Iterator[str]:
    wanted: list[tuple[str, AssetKind]] = [(entry.program, "program"), *((sha, "graph") for sha in entry.graphs)]
    if entry.shard:
        wanted.append((entry.shard, "shard"))
    for sha256, kind in wanted:
        if sha256 not in known or known[sha256].kind != kind:
            yield f"{where}: expected {sha256!r} among the assets as a {kind}, got none"


def entry_violations(where: str, entry: TensorEntry, shard_bytes: int) -> Iterator[str]:
    """What is wrong with one entry of a shard's index; shard_bytes is the length of the shard.

    Yields:
        one line for each violation.
    """
    if entry.dtype not in DTYPES or any(size < 0 for size in entry.shape):
        yield f"{where}: expected a fixed-size dtype and sizes >= 0, got {entry.dtype!r} {entry.shape}"
        return
    if entry.nbytes != byte_count(entry.dtype, entry.shape):
        yield f"{where}.nbytes: expected {byte_count(entry.dtype, entry.shape)}, got {entry.nbytes}"
    if entry.offset % ALIGNMENT or entry.offset < 0:
        yield f"{where}.offset: expected a multiple of {ALIGNMENT}, got {entry.offset}"
    if entry.offset + entry.nbytes > shard_bytes:
        yield f"{where}: expected to end within {shard_bytes} bytes, got {entry.offset + entry.nbytes}"


def _repeated(where: str, names: list[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{where}: expected each once, got {name!r} {count} times"
