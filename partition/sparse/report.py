"""What a chain's exchanges carry, beside what contiguous and random ownership would: for the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from partition.sparse.assignment import Assign, contiguous_layers, random_layers
from partition.sparse.ownership import partitioner_name
from partition.sparse.parts import ChainPlan


def sparse_info(plans: Iterable[ChainPlan]) -> Mapping[str, int | str]:
    """Totals over all chains that exchange rows; empty where none does.

    sparse_rows_sent: over all layer boundaries, between different ranks; also for the ownerships it is compared with.
    sparse_pairs:     messages, one for each boundary and two ranks between which rows travel.
    sparse_exchanges: boundaries at which any rows travel, of sparse_boundaries.
    """
    found = [plan for plan in plans if plan.workers > 1 and plan.choice.mode in ("row", "column")]
    if not found:
        return {}
    boundaries = [_travelling(between) for plan in found for between in plan.traffic]
    by_graph = any(plan.choice.mode == "row" for plan in found)
    return {
        "sparse_partitioner": partitioner_name() if by_graph else "contiguous",
        "sparse_boundaries": len(boundaries),
        "sparse_exchanges": sum(bool(between.any()) for between in boundaries),
        "sparse_pairs": sum(int(np.count_nonzero(between)) for between in boundaries),
        "sparse_rows_sent": sum(int(between.sum()) for between in boundaries),
        "sparse_rows_sent_contiguous": _rows_sent(found, contiguous_layers),
        "sparse_rows_sent_random": _rows_sent(found, random_layers),
    }


def _rows_sent(plans: Iterable[ChainPlan], assign: Assign) -> int:
    others = (replace(plan, assign=assign) for plan in plans)
    return sum(int(_travelling(between).sum()) for plan in others for between in plan.traffic)


def _travelling(between: NDArray[np.int64]) -> NDArray[np.int64]:
    """Without what stays on its rank."""
    return between - np.diag(np.diag(between))
