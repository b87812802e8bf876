"""What a chain's exchanges carry, beside what contiguous and random ownership would: for the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from partition.sparse.assignment import Assign, contiguous_layers, random_layers
from partition.sparse.messages import Boundary, exchanged
from partition.sparse.ownership import partitioner_name
from partition.sparse.plan import ChainPlan

_COMPARED: Mapping[str, Assign] = {"_contiguous": contiguous_layers, "_random": random_layers}


def sparse_info(plans: Iterable[ChainPlan]) -> Mapping[str, int | str]:
    """Totals over all chains that exchange rows; empty where none does.

    sparse_boundaries: between two layers.
    sparse_exchanges:  of them, those at which any rows travel.
    sparse_recomputed: multiplications that several ranks do, in percent of the model's (of the merged one's).
    The rest for the chosen ownership, and beside it for contiguous and for random pieces:
    sparse_pairs:      messages: one for each exchange and two ranks between which rows travel.
    sparse_rows_sent:  rows that arrive on other ranks.
    sparse_rows_published: rows in different messages: one that is the same for several ranks counts once.
    sparse_bytes:      estimated, of all different messages (partition.sparse.estimate).
    sparse_nano_usd:   estimated, of the queue's requests.
    """
    found = [plan for plan in plans if plan.workers > 1 and plan.choice.mode in ("row", "column")]
    if not found:
        return {}
    boundaries = [boundary for plan in found for boundary in plan.boundaries]
    info: dict[str, int | str] = {
        "sparse_partitioner": partitioner_name(),
        "sparse_boundaries": len(boundaries),
        "sparse_exchanges": sum(_travels(boundary) for boundary in boundaries),
        "sparse_recomputed": _recomputed(found),
        **_totals(found, ""),
    }
    for name, assign in _COMPARED.items():
        info |= _totals([replace(plan, assign=assign) for plan in found], name)
    return info


def _travels(boundary: Boundary) -> bool:
    return any(sent.messages for sent in exchanged(boundary)[1])


def _totals(plans: Iterable[ChainPlan], suffix: str) -> dict[str, int]:
    pairs = rows = published = 0
    size_bytes = usd = 0.0
    for assumed, boundary in ((plan.assumed, boundary) for plan in plans for boundary in plan.boundaries):
        sent, received = exchanged(boundary)
        pairs += sum(int(one.messages) for one in received)
        rows += sum(int(one.rows) for one in received)
        published += sum(int(one.rows) for one in sent)
        size_bytes += sum(one.distinct for one in sent) * assumed.bytes_of_row(boundary.number)
        ranks = zip(sent, received, strict=True)
        usd += sum(assumed.exchange_usd(boundary.number, *rank) for rank in ranks)
    totals = {"pairs": pairs, "rows_sent": rows, "rows_published": published}
    totals |= {"bytes": round(size_bytes), "nano_usd": round(usd * 1e9)}
    return {f"sparse_{name}{suffix}": value for name, value in totals.items()}


def _recomputed(plans: Iterable[ChainPlan]) -> int:
    """Percent, rounded up."""
    done = base = 0
    for plan in (plan for plan in plans if plan.choice.mode == "row"):
        for layer, owned in zip(plan.layers, plan.owned[1:], strict=True):
            work = np.diff(layer.weight.indptr)
            computed = np.unique(np.concatenate(owned))
            done += sum(int(work[rows].sum()) for rows in owned) - int(work[computed].sum())
            base += int(work.sum())
    return -(-100 * done // max(1, base))
