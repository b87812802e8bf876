"""The ways in which a chain of sparse layers can be computed. It moves values between ranks by itself."""

from __future__ import annotations

from partition.choices import Choice, Mode
from partition.placement import REPLICATE, ROOT, Placement, Shard

# mode -> where the chain can take its input from, and where it can leave its output
_ENDS: dict[str, tuple[tuple[Placement, ...], tuple[Placement, ...]]] = {
    "batch": ((ROOT, Shard(0)), (ROOT, Shard(0))),
    "column": ((ROOT, Shard(1)), (ROOT, Shard(1))),
    "row": ((ROOT, REPLICATE, Shard(1)), (ROOT, Shard(1))),
    "single": ((ROOT,), (ROOT,)),
}


def chain_choices(mode: Mode) -> tuple[Choice, ...]:
    """Every combination of ends of one mode."""
    sources, targets = _ENDS[mode]
    return tuple(Choice(mode, (source,), (target,)) for source in sources for target in targets)
