"""Compiles a network for several numbers of ranks, in a process of its own: the next one while the last one runs.

The network is built and read once. What a large network takes to compile is freed with the process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from bench.paper import Case
from bundle.io import read_manifest
from bundle.manifest import Manifest
from bundle.store import FolderStore
from client.errors import ClientError
from partition import Options as CompileOptions
from partition import compile_for, prepare
from zoo.graphchallenge import GraphChallenge, Options

STRATEGY = "row"


class CompilerEnded(ClientError):
    """The process that compiles ended without a bundle: what it printed says why."""


def network_of(case: Case, data: Path | None) -> tuple[GraphChallenge, Options]:
    """The card of a case's network, and its options."""
    return GraphChallenge(case.neurons), Options(layers=case.layers, data=data, control=case.control)


def compiled(
    card: GraphChallenge, options: Options, workers: Sequence[int], folder: Path
) -> Iterator[tuple[FolderStore, Manifest]]:
    """The network's bundle for each number of ranks, in their order; one is removed when the next is asked for.

    Raises:
        CompilerEnded: before all were compiled.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_compile_all, args=(card, options, list(workers), folder, theirs))
    process.start()
    theirs.close()
    try:
        for size in workers:
            store = FolderStore(_store(folder, size))
            yield store, read_manifest(store, _received(mine, size))
            shutil.rmtree(_store(folder, size))
    finally:
        process.terminate()
        process.join()


def _store(folder: Path, workers: int) -> Path:
    return folder / f"store-{workers}"


def _received(connection: Connection, workers: int) -> str:
    with contextlib.suppress(EOFError):
        return str(connection.recv())
    raise CompilerEnded(f"compiling for {workers} workers: expected a bundle, the compiling process ended")


def _compile_all(
    card: GraphChallenge, options: Options, workers: Sequence[int], folder: Path, connection: Connection
) -> None:
    """In the other process: say each bundle's id as soon as it is stored."""
    settings = CompileOptions()
    prepared = prepare(card.build(options, folder), settings)
    for size in workers:
        shards = folder / f"shards-{size}"
        shards.mkdir()
        model = compile_for(prepared, STRATEGY, size, shards, options=settings)
        connection.send(model.write(FolderStore(_store(folder, size))))
        del model
        shutil.rmtree(shards)
