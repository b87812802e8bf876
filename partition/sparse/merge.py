"""The pass "merge rows": output neurons of a sparse layer that are the same neuron are computed once.

Equal are those with the same inputs, weights and bias, bit by bit. Whoever reads one of them reads the one that is
left, as often and in the same order as before: every sum has the terms that it had, in their order, so that `row` and
`batch` give the same bits. A neuron of the next layer that told its inputs apart by their numbers alone may have an
equal now, so layers are merged from the first to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from partition.sparse.layers import Array, SparseLayer, entries_of
from partition.sparse.weights import Rows, SparseWeight


@dataclass(frozen=True, eq=False)
class Merged:
    """A chain of layers without equal rows.

    expand: [n] which of the last layer's rows each of its former ones is; None = they are the same.
    rows:   that were merged into others, over all layers; saved_bytes: of weights and biases.
    work:   multiplications of the chain before, for each one that is left.
    """

    layers: tuple[SparseLayer, ...]
    expand: Rows | None = None
    rows: int = 0
    saved_bytes: int = 0
    work: float = 1.0


def merge_rows(layers: Sequence[SparseLayer], *, last: bool) -> Merged:
    """The chain with equal rows merged; those of the last layer only if `last`, as its reader must expand them."""
    found: list[SparseLayer] = []
    kept, kind_of = None, None
    for number, layer in enumerate(layers):
        renamed = layer if kind_of is None else _reading(layer, kind_of)
        if number < len(layers) - 1 or last:
            kept, kind_of = equal_rows(renamed)
        else:
            kept, kind_of = np.arange(layer.weight.shape[1], dtype=np.int32), None
        found.append(_only(renamed, kept))
    rows = sum(before.weight.shape[1] - after.weight.shape[1] for before, after in zip(layers, found, strict=True))
    saved = sum(map(_nbytes, layers)) - sum(map(_nbytes, found))
    expand = kind_of if kept is not None and _shrunk(kind_of, kept) else None
    return Merged(tuple(found), expand, rows, saved, _work(layers) / max(1, _work(found)))


def _shrunk(kind_of: Rows | None, kept: Rows) -> bool:
    return kind_of is not None and kept.size < kind_of.size


def _work(layers: Sequence[SparseLayer]) -> int:
    return sum(layer.weight.nnz for layer in layers)


def equal_rows(layer: SparseLayer) -> tuple[Rows, Rows]:
    """The first row of each kind, ascending, and the kind of each row: rows of one kind compute the same bits."""
    weight = layer.weight
    biases = np.zeros(weight.shape[1], np.int8) if layer.bias is None else layer.bias
    known: dict[tuple[bytes, bytes, bytes], int] = {}
    kind_of, kept = np.empty(weight.shape[1], np.int32), list[int]()
    bounds = weight.indptr.tolist()
    for row, (low, high) in enumerate(pairwise(bounds)):
        key = weight.indices[low:high].tobytes(), weight.values[low:high].tobytes(), biases[row].tobytes()
        kind = known.setdefault(key, len(known))
        if kind == len(kept):
            kept.append(row)
        kind_of[row] = kind
    return np.array(kept, np.int32), kind_of


def _reading(layer: SparseLayer, kind_of: Rows) -> SparseLayer:
    """The layer on merged inputs: its entries as they were, each naming the kind of what it named."""
    copies = np.bincount(kind_of).astype(np.int32)
    if (copies == 1).all():
        return layer
    weight = layer.weight
    named = SparseWeight((copies.size, weight.shape[1]), weight.indptr, kind_of[weight.indices], weight.values)
    return replace(layer, weight=named, copies=copies)


def _only(layer: SparseLayer, rows: Rows) -> SparseLayer:
    """Some output rows of a layer."""
    weight = layer.weight
    if rows.size == weight.shape[1]:
        return layer
    entries = entries_of(weight, rows)
    indptr = np.concatenate([[0], np.cumsum(np.diff(weight.indptr)[rows])]).astype(np.int64)
    part = SparseWeight((weight.shape[0], rows.size), indptr, weight.indices[entries], weight.values[entries])
    return replace(layer, weight=part, bias=None if layer.bias is None else layer.bias[rows])


def _nbytes(layer: SparseLayer) -> int:
    parts: Iterable[Array] = [part for part in (layer.bias, layer.copies) if part is not None]
    return layer.weight.nbytes + sum(part.nbytes for part in parts)


def merge_info(chains: Iterable[Merged]) -> Mapping[str, int]:
    """For the manifest: rows_merged, and merged_saved_bytes of weights; empty where equal rows were not looked for."""
    found = list(chains)
    if not found:
        return {}
    return {
        "rows_merged": sum(one.rows for one in found),
        "merged_saved_bytes": sum(one.saved_bytes for one in found),
    }
