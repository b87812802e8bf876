"""Bring a graph into the form that the rules speak of: inlined, constants as initializers, Gemm split, shapes known."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common

from partition.canonical import CanonicalShapesPass
from partition.convbias import SplitConvBiasPass
from partition.dynamic import SpellOutDynamicQuantizePass
from partition.errors import InvalidModelError
from partition.folding import FoldConstantsPass
from partition.foreign import InferForeignPass
from partition.gemm import SplitGemmPass
from partition.heads import SeparateHeadsPass
from partition.outputs import ComputeOutputsPass, NameValuesPass
from partition.reshapes import AlignReshapesPass
from partition.scales import ScaleByFactorsPass
from partition.shapes import CheckShapesPass, ForgetSizesPass, InferShapesPass


def normalize(model: ir.Model) -> ir.Model:
    """The same function as an equal, simpler graph; `model` is changed.

    Raises:
        InvalidModelError: if the graph is inconsistent.
    """
    try:
        for one in _passes():
            model = one(model).model
        return model
    except (ir.passes.PassError, ValueError, TypeError, KeyError) as error:
        cause = error.__cause__ or error
        raise InvalidModelError(f"model {model.graph.name!r}: expected a consistent graph, got: {cause}") from error


def _passes() -> list[ir.passes.PassBase]:
    return [
        common.InlinePass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.RemoveInitializersFromInputsPass(),
        ComputeOutputsPass(),
        common.TopologicalSortPass(),
        CheckShapesPass(),
        InferShapesPass(),
        Inferred(InferForeignPass()),
        Inferred(
            FoldConstantsPass(),
            SplitGemmPass(),
            SplitConvBiasPass(),
            SeparateHeadsPass(),
            SpellOutDynamicQuantizePass(),
            FoldConstantsPass(),
        ),
        Inferred(CanonicalShapesPass(), ScaleByFactorsPass(), AlignReshapesPass(), ForgetSizesPass()),
        AlignReshapesPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        NameValuesPass(),
    ]


class Inferred(ir.passes.InPlacePass):
    """Passes, and an inference of shapes behind them if one of them changed anything: it takes longer than they do."""

    def __init__(self, *passes: ir.passes.InPlacePass) -> None:
        super().__init__()
        self._passes = passes

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Apply them in order."""
        changed = [one(model).modified for one in self._passes]
        if any(changed):
            InferShapesPass()(model)
        return ir.passes.PassResult(model, modified=any(changed))
