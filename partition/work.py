"""How much an op computes: its multiplications, from its rule's letters and the sizes to expect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from partition.choices import Choice
from partition.divisions import letter_sizes
from partition.graph import Graph, Op
from partition.placement import Shard
from partition.rules import Letters, Rule
from partition.rules.rule import factors

_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def all_work(graph: Graph) -> list[int]:
    """The work of each op, as op_work has it; ops that are alike are counted once."""
    found: dict[int, int] = {}
    for op, rule in zip(graph.ops, graph.rules, strict=True):
        if graph.kinds[op] not in found:
            found[graph.kinds[op]] = op_work(graph, op, rule)
    return [found[graph.kinds[op]] for op in graph.ops]


def op_work(graph: Graph, op: Op, rule: Rule | None) -> int:
    """Multiplications, or elements where there are fewer; without a rule, elements of what it reads and makes."""
    if rule is None or len(op.inputs) != len(rule.inputs) or len(op.outputs) != len(rule.outputs):
        return _elements(graph, op.reads, op.outputs)
    given = [name for name in op.reads if name not in graph.constant_names]  # of a table only some rows are read
    products = _Products(graph, op, rule)
    sums = products.of_sums() + products.of_recurrence()
    return max(_elements(graph, given, op.outputs), sums, products.of_attention())


def _elements(graph: Graph, *names: Iterable[str]) -> int:
    """Elements of the largest of these values."""
    known = (name for some in names for name in some if name in graph.values)
    return max((graph.values[name].elements for name in known), default=1)


class _Products:
    """The multiplications of an op."""

    def __init__(self, graph: Graph, op: Op, rule: Rule) -> None:
        tensors = zip((*op.inputs, *op.outputs), (*rule.inputs, *rule.outputs), strict=True)
        dims = [(axes, graph.values[name].cargo.dims) for name, axes in tensors if axes and name in graph.values]
        self._sizes = letter_sizes([(axes, shape) for axes, shape in dims if len(axes) == len(shape)])
        self._attends = op.proto.op_type.endswith("Attention")
        self._recurs = op.proto.op_type in _RECURRENT
        self._inputs = [_letters(axes) for axes in rule.inputs]
        self._output = _letters(rule.outputs[0])
        self._grouped = bool(rule.units) and not self._attends

    def of_sums(self) -> int:
        """Of input 0 with another one that has a letter to sum over in common: all pairs of their elements that meet.

        Each output's place in a kernel of a convolution is a letter of its own; what each side alone has is then a
        window on one of them, and what the window is moved over on the other.
        """
        others = self._inputs[1:] if self._inputs[0] else []
        return max((self._pairs(self._inputs[0], other) for other in others if self._meet(other)), default=0)

    def of_recurrence(self) -> int:
        """Of the hidden units with the recurrent weights, input 2, in each step; input 0 does not meet these."""
        return self._size(self._inputs[2] | self._output) if self._recurs else 0

    def of_attention(self) -> int:
        """Of queries with keys: `k` new ones, `p` in a cache, `t` in all; without either, each place is one."""
        if not self._attends:
            return 0
        return self._size(self._output) * max(self._sizes.get(letter, 1) for letter in "kpst")

    def _meet(self, other: frozenset[str]) -> bool:
        summed = {letter for letter in self._inputs[0] & other - self._output if not letter.isdigit()}
        return bool(summed) or (self._grouped and bool(other))

    def _pairs(self, first: frozenset[str], second: frozenset[str]) -> int:
        made = self._output - frozenset().union(*self._inputs)
        common = (first | second) & self._output | (first & second)
        alone = [side - common for side in (first, second)]
        return self._size(common | made) * (min if all(alone) else max)(map(self._size, alone))

    def _size(self, letters: frozenset[str]) -> int:
        return math.prod(int(x) if x.isdigit() else self._sizes.get(x, 1) for x in letters)


def _letters(axes: Letters) -> frozenset[str]:
    return frozenset(part for axis in axes for part in factors(axis))


def work_by_rank(graph: Graph, choices: Sequence[Choice], workers: int) -> list[float]:
    """What each rank computes of the whole graph."""
    done = [0.0] * workers
    known: dict[tuple[int, int], list[float]] = {}
    for op, work, choice in zip(graph.ops, all_work(graph), choices, strict=True):
        key = graph.kinds[op], id(choice)
        if key not in known:
            known[key] = work_shares(graph, op, choice, workers)
        for rank, share in enumerate(known[key]):
            done[rank] += work * share
    return done


def work_shares(graph: Graph, op: Op, choice: Choice, workers: int) -> list[float]:
    """What part of an op's work each rank does: an axis that is shorter than there are ranks leaves some idle."""
    if choice.mode == "single":
        return [1.0, *[0.0] * (workers - 1)]
    if choice.mode in ("replicate", "partial"):
        return [1.0] * workers
    return next(_piece_shares(graph, op, choice, workers), [1.0 / workers] * workers)


def _piece_shares(graph: Graph, op: Op, choice: Choice, workers: int) -> Iterator[list[float]]:
    """Of each divided axis that is known."""
    named = zip((*op.inputs, *op.outputs), (*choice.inputs, *choice.outputs), strict=True)
    for name, placement in named:
        dims = graph.values[name].cargo.dims if name in graph.values else ()
        if isinstance(placement, Shard) and placement.axis < len(dims) and dims[placement.axis]:
            size = dims[placement.axis]
            yield [placement.length(size, workers, rank) / size for rank in range(workers)]
