"""Reshape and Expand with targets that mean the same on every part of the input.

Exporters compute targets from Shape ops, whole sizes among them. Where shape inference knows what comes out, the target
becomes a constant that copies (0) each size which the request chooses, so that a rank with some of the samples, or
none, gets its own. A size can only be copied to its own place: axes of size 1 are put in and taken out again.

    [b, 8, 2, s, 16] -> [b, 16, s, 16]    as    Reshape [0, 16, 1, 0, 0], Squeeze 2
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from partition.constants import set_constant
from partition.rules.groups import Size, axis_groups
from partition.targets import NAMELESS, computed_sizes, set_sizes, sizes_of

_AXES_BY_INPUT = 13  # the first opset whose Squeeze and Unsqueeze take their axes as an input


class AlignReshapesPass(ir.passes.InPlacePass):
    """Rewrite the targets of Reshape and Expand; a node of which too little is known stays as it is."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit the main graph."""
        by_input = model.opset_imports.get("", 0) >= _AXES_BY_INPUT
        nodes = [node for node in model.graph if node.domain in ("", "ai.onnx") and len(node.inputs) == 2]
        changed = [node for node in nodes if _rewrite(model.graph, node, by_input)]
        return ir.passes.PassResult(model, modified=bool(changed))


def _rewrite(graph: ir.Graph, node: ir.Node, by_input: bool) -> bool:
    if node.op_type == "Expand":
        return _expand(graph, node)
    return node.op_type == "Reshape" and _reshape(graph, node, by_input)


def _expand(graph: ir.Graph, node: ir.Node) -> bool:
    """A size that is the input's own becomes 1, which repeats nothing."""
    source = sizes_of(node.inputs[0]) if node.inputs[0] is not None else None
    target = computed_sizes(node.inputs[1]) or sizes_of(node.outputs[0])
    if source is None or target is None or len(target) < len(source):
        return False
    own = [1] * (len(target) - len(source)) + source
    sizes = [1 if known == size else size for known, size in zip(own, target, strict=True)]
    numbers = [size for size in sizes if isinstance(size, int)]
    if len(numbers) < len(sizes):
        return False
    set_sizes(node.outputs[0], [n if n != 1 else size for n, size in zip(numbers, own, strict=True)])
    return set_constant(graph, node, 1, numbers)


def _reshape(graph: ir.Graph, node: ir.Node, by_input: bool) -> bool:
    source = sizes_of(node.inputs[0]) if node.inputs[0] is not None else None
    if source is None or 0 in source:
        return False
    result = _results(node, source)
    plan = aligned(source, result) if result is not None and 0 not in result else None
    if plan is None or result is None:
        return False
    set_sizes(node.outputs[0], result)
    node.attributes.pop("allowzero", None)
    if plan.opened:
        _insert(graph, node, "Unsqueeze", plan.opened, by_input)
    changed = set_constant(graph, node, 1, plan.target)
    if plan.closed:
        _insert(graph, node, "Squeeze", plan.closed, by_input)
    return changed or bool(plan.opened or plan.closed)


def _results(node: ir.Node, source: Sequence[Size]) -> list[Size] | None:
    """Sizes of a Reshape's output: by what its target consists of, else by inference."""
    inferred, target = sizes_of(node.outputs[0]), computed_sizes(node.inputs[1])
    if target is None:
        return inferred
    if node.attributes.get_int("allowzero", 0) and 0 in target:
        return None
    sizes = [source[i] if size == 0 and i < len(source) else size for i, size in enumerate(target)]
    if -1 in target:
        at = target.index(-1)
        left = _remainder(source, target, at)
        known = inferred[at] if inferred and len(inferred) == len(target) else left
        sizes[at] = known if isinstance(left, str) and isinstance(known, int) else left
    return sizes


def _remainder(source: Sequence[Size], target: Sequence[Size], at: int) -> Size:
    """What -1 stands for: what is left of the input's sizes, if that is one."""
    rest = [size for i, size in enumerate(source) if i >= len(target) or target[i] != 0]
    for size in (size for size in target if isinstance(size, str)):
        if size not in rest:
            return f"{NAMELESS}{at}"
        rest.remove(size)
    symbols = [size for size in rest if isinstance(size, str)]
    own = math.prod(size for size in rest if isinstance(size, int))
    given = math.prod(size for size in target if isinstance(size, int) and size > 0)
    if own % given or len(symbols) > 1 or (symbols and own != given):
        return f"{NAMELESS}{at}"
    return symbols[0] if symbols else own // given


@dataclass(frozen=True)
class Aligned:
    """Axes of size 1 to put into the input, the target then, and axes of size 1 to take out of the output."""

    opened: tuple[int, ...]
    target: tuple[int, ...]
    closed: tuple[int, ...]


def aligned(left: Sequence[Size], right: Sequence[Size]) -> Aligned | None:
    """How to reshape so that every size that is kept is copied; None if more than one other size is unknown."""
    groups = list(axis_groups(left, right))
    last = max((i for i, (ins, outs) in enumerate(groups) if _must_be_copied(left, right, ins, outs)), default=-1)
    opened: list[int] = []
    closed: list[int] = []
    target: list[int] = []
    for number, (ins, outs) in enumerate(groups):
        in_place = len(ins) > 0 and ins[0] + len(opened) == len(target)
        if _is_kept(left, right, ins, outs) and in_place:
            target.append(0)
            continue
        sizes = [right[j] for j in outs]
        width = max(len(ins), len(outs)) if number < last else 0
        opened += [len(target) + i for i in range(len(ins), width)]
        closed += [len(target) + i for i in range(len(outs), width)]
        target += [size if isinstance(size, int) else -1 for size in sizes] + [1] * (width - len(outs))
    return Aligned(tuple(opened), tuple(target), tuple(closed)) if target.count(-1) <= 1 else None


def _is_kept(left: Sequence[Size], right: Sequence[Size], ins: range, outs: range) -> bool:
    return len(ins) == len(outs) == 1 and left[ins[0]] == right[outs[0]]


def _must_be_copied(left: Sequence[Size], right: Sequence[Size], ins: range, outs: range) -> bool:
    return _is_kept(left, right, ins, outs) and isinstance(left[ins[0]], str)


def _insert(graph: ir.Graph, node: ir.Node, op_type: str, axes: tuple[int, ...], by_input: bool) -> None:
    """Unsqueeze what the node reads, or Squeeze what it gives: the old output is then the new node's."""
    source = node.inputs[0] if op_type == "Unsqueeze" else node.outputs[0]
    assert source is not None
    name = f"{node.outputs[0].name}__{op_type.lower()}"
    attributes = {} if by_input else {"axes": list(axes)}
    new = ir.node(op_type, [source], attributes=attributes, name=name)
    made = new.outputs[0]
    made.name, made.type = name, source.type
    if op_type == "Unsqueeze":
        made.shape = _with_ones(source, axes)
        graph.insert_before(node, new)
        node.replace_input_with(0, made)
    else:
        made.shape, source.shape = source.shape, _with_ones(source, axes)
        ir.convenience.replace_all_uses_with(source, made, replace_graph_outputs=True)
        new.replace_input_with(0, source)
        graph.insert_after(node, new)
        made.name, source.name = source.name, name
    if by_input:
        set_constant(graph, new, 1, axes)


def _with_ones(value: ir.Value, axes: tuple[int, ...]) -> ir.Shape | None:
    if value.shape is None:
        return None
    dims = iter(value.shape)
    return ir.Shape([1 if i in axes else next(dims) for i in range(len(value.shape) + len(axes))])
