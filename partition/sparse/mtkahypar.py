"""Divide a layer's hypergraph with Mt-KaHyPar, where it is installed: a compile-time dependency only."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import lru_cache
from typing import Any

import numpy as np

from partition.sparse.components import BALANCE
from partition.sparse.hypergraph import LayerGraph
from partition.sparse.weights import Rows

_SEED = 42
_LIBRARY = "mtkahypar"


def version() -> str | None:
    """The installed version; None if there is none."""
    return importlib.metadata.version(_LIBRARY) if importlib.util.find_spec(_LIBRARY) else None


@lru_cache(maxsize=1)
def _library() -> tuple[Any, Any]:
    """The module, and its entry point, to be had once in a process. One thread gives the same every time."""
    import mtkahypar

    return mtkahypar, mtkahypar.initialize(1)


def partitioned(graph: LayerGraph, parts: int) -> Rows:
    """The part of each unit; needs at least as many units as parts. Seeded: equal graphs are divided equally.

    The objective is connectivity minus one: a net counts its rows once for each part beyond the first.
    """
    library, entry = _library()
    library.set_seed(_SEED)
    context = entry.context_from_preset(library.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(parts, BALANCE, library.Objective.KM1)
    context.logging = False
    nets = [net.tolist() for net in graph.nets]
    work, rows = graph.work.tolist(), graph.net_rows.tolist()
    divided = entry.create_hypergraph(context, graph.units, len(nets), nets, work, rows).partition(context)
    return np.array([divided.block_id(unit) for unit in range(graph.units)], np.int32)
