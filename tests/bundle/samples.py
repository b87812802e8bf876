"""A small sound manifest that tests take and damage."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from bundle.io import asset_of
from bundle.manifest import AssetKind, Manifest, RankEntry, TensorSpec
from bundle.shard import ShardWriter


@dataclass(frozen=True)
class Sample:
    manifest: Manifest
    assets: dict[str, bytes]


def make_sample(world_size: int = 2, model: str = "digits") -> Sample:
    """`world_size` ranks with a program and a shard of two tensors each, and one shared graph."""
    graph = b"graph"
    blobs: dict[AssetKind, list[bytes]] = {"graph": [graph], "program": [], "shard": []}
    ranks = []
    for rank in range(world_size):
        file = io.BytesIO()
        writer = ShardWriter(file)
        writer.add("w", np.full((3, rank + 1), rank, np.float32))
        writer.add("b", np.arange(3, dtype=np.int64))
        index = writer.finish()
        program = b'{"rank": %d}' % rank
        blobs["program"].append(program)
        blobs["shard"].append(file.getvalue())
        ranks.append(
            RankEntry(
                rank,
                program=asset_of(program, "program").sha256,
                shard=index.asset.sha256,
                graphs=(asset_of(graph, "graph").sha256,),
                tensors=index.entries,
                weight_bytes=sum(entry.nbytes for entry in index.entries),
            )
        )
    manifest = Manifest(
        model=model,
        version=hashlib.sha256(model.encode()).hexdigest(),
        strategy="row",
        world_size=world_size,
        inputs=(TensorSpec("x", "float32", ("batch", 64)),),
        outputs=(TensorSpec("label", "string", ("batch",)),),
        assets=tuple(asset_of(blob, kind) for kind, group in blobs.items() for blob in group),
        ranks=tuple(ranks),
        info={"seconds": 1.5, "opset": 20, "by": "test"},
    )
    return Sample(manifest, {asset_of(b, kind).sha256: b for kind, group in blobs.items() for b in group})
