"""Refuses a run before it starts, where its limits in time and money cannot hold."""

from __future__ import annotations

from bundle.manifest import Manifest
from costs.floor import floor_of
from runs.errors import BudgetTooSmall
from runs.request import Request


def check_budget(request: Request, manifest: Manifest, memory_mb: int) -> None:
    """Hold `max_usd` and `deadline_s` against the least that the run can cost and take.

    Raises:
        BudgetTooSmall: needed and given.
    """
    least = floor_of(manifest.world_size, memory_mb, manifest.info)
    if request.max_usd is not None and least.usd > request.max_usd:
        raise BudgetTooSmall(
            f"max_usd: a run of {manifest.world_size} workers costs at least {least.usd:.8f} USD, "
            f"got {request.max_usd:.8f}"
        )
    if least.seconds > request.deadline_s:
        raise BudgetTooSmall(
            f"deadline_s: a run of {manifest.world_size} workers takes at least {least.seconds:g} s, "
            f"got {request.deadline_s:g}"
        )
