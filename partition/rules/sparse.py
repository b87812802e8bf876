"""The compiler's own op: a chain of sparse layers. It moves rows between its layers itself (partition.sparse)."""

from __future__ import annotations

from partition.rules.facts import OpFacts
from partition.rules.registry import RULES
from partition.rules.rule import Rule

DOMAIN = "fsd.sparse"
CHAIN = "SparseChain"


@RULES.register(CHAIN, domain=DOMAIN)
def sparse_chain(_facts: OpFacts) -> Rule | None:
    """`m k -> m n; whole k n`: samples are independent; the division of neurons is the chain's own business."""
    return Rule((("m", "k"),), (("m", "n"),), whole=frozenset({"k", "n"}))
