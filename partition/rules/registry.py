"""The rules by (domain, op type). A rule registers where it is defined; an op without one is replicated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from partition.errors import RuleError
from partition.rules.facts import OpFacts
from partition.rules.rule import Rule

RuleFunction = Callable[[OpFacts], Rule | None]
_log = logging.getLogger(__name__)


class RuleBook:
    """Rule functions by (domain, op type)."""

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str], RuleFunction] = {}

    def register(self, *op_types: str, domain: str = "") -> Callable[[RuleFunction], RuleFunction]:
        """Decorator: the function is the rule of these ops.

        Raises:
            RuleError: if one of them has a rule already.
        """

        def add(function: RuleFunction) -> RuleFunction:
            for op_type in op_types:
                if self._functions.setdefault((domain, op_type), function) is not function:
                    raise RuleError(f"op {domain}::{op_type}: expected one rule, got a second one")
            return function

        return add

    def known(self) -> Iterable[tuple[str, str]]:
        """(domain, op type) of every op with a rule, sorted."""
        return sorted(self._functions)

    def find(self, facts: OpFacts) -> Rule | None:
        """The rule of an op as it stands; None = its axes cannot be followed, so it must see whole tensors."""
        function = self._functions.get(("" if facts.domain == "ai.onnx" else facts.domain, facts.op_type))
        if function is None:
            _log.info("no sharding rule for %s::%s: replicated", facts.domain or "ai.onnx", facts.op_type)
            return None
        try:
            return function(facts)
        except LookupError:
            return None


RULES = RuleBook()
