"""A pass that rewrites ops of some types one by one: each such pass says which, and what becomes of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import onnx_ir as ir


class RewriteOpsPass(ir.passes.InPlacePass):
    """Rewrite ONNX's own ops of the types `ops` in the main graph, where `matches` holds."""

    ops: ClassVar[frozenset[str]]

    @abstractmethod
    def matches(self, node: ir.Node) -> bool:
        """Whether this node, of a type in `ops`, is to be rewritten."""

    @abstractmethod
    def rewrite(self, graph: ir.Graph, node: ir.Node) -> None:
        """Put something equal in the node's place."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit the main graph. All are found before the first is rewritten."""
        ours = [node for node in model.graph if node.op_type in self.ops and node.domain in ("", "ai.onnx")]
        found = [node for node in ours if self.matches(node)]
        for node in found:
            self.rewrite(model.graph, node)
        return ir.passes.PassResult(model, modified=bool(found))
