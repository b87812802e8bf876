"""MatMul: 1-D, 2-D and batched with broadcasting."""

from __future__ import annotations

from partition.rules.facts import Dim, OpFacts, Shape, axis_letters
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule

_MAX_RANK = 10  # batch letters stay clear of k, m and n
_EITHER = (frozenset({0}), frozenset({1}))


@RULES.register("MatMul")
def matmul(facts: OpFacts) -> Rule | None:
    """`a m k, a k n -> a m n; reduce k: sum; solid k`; a 1-D side has no m or no n."""
    left, right = facts.shapes
    if not left or not right or max(len(left), len(right)) > _MAX_RANK:
        return None
    batches = (left[:-2], right[:-2])
    letters = axis_letters(max(map(len, batches)))
    m: Letters = ("m",) if len(left) > 1 else ()
    n: Letters = ("n",) if len(right) > 1 else ()
    row, column = _neurons(facts, m, n)
    return Rule(
        ((*_batch(batches[0], letters), *m, "k"), (*_batch(batches[1], letters), "k", *n)),
        ((*letters, *m, *n),),
        reduce={"k": "sum"},
        whole=_ambiguous(batches, letters) if m and n else frozenset(letters),
        row=row,
        column=column,
        linear=_EITHER,
        # onnxruntime 1.31 gives no answer where nothing is multiplied by a vector, and NaN where it has fused a
        # Transpose into a product of [m, 0] and [0, n]
        solid=_solid(batches, letters) | {"k"} | frozenset(() if n or not m else m),
    )


def _neurons(facts: OpFacts, m: Letters, n: Letters) -> tuple[str, str]:
    """Letters of the output and input neurons of the weight, if one side is a weight."""
    if facts.is_weight(0) == facts.is_weight(1):
        return "", ""
    outputs = n if facts.is_weight(1) else m
    return "".join(outputs), "k"


def _batch(shape: Shape, letters: Letters) -> Letters:
    own = letters[len(letters) - len(shape) :]
    return tuple(REPEATED if dim == 1 else name for dim, name in zip(shape, own, strict=True))


def _ambiguous(batches: tuple[Shape, Shape], letters: Letters) -> frozenset[str]:
    """Batch letters whose sizes may differ: one of them may be a hidden 1.

    So too all of them beside a 1-D side: onnxruntime 1.31 refuses an empty piece there ("cannot broadcast").
    """
    left, right = (dict(zip(reversed(letters), reversed(shape), strict=False)) for shape in batches)
    return frozenset(name for name in letters if not _divides(left.get(name, 1), right.get(name, 1)))


def _solid(batches: tuple[Shape, Shape], letters: Letters) -> frozenset[str]:
    """Batch letters opposite to an axis of size 1, or to none: onnxruntime 1.31 refuses to multiply nothing there.

    Stacked experts are such an axis.
    """
    left, right = (dict(zip(reversed(letters), reversed(shape), strict=False)) for shape in batches)
    opposite = {name for name, size in right.items() if size == 1 and len(batches[1]) > 1}
    return frozenset(opposite | {name for name in right if left.get(name, 1) == 1})


def _divides(left: Dim, right: Dim) -> bool:
    return right == 1 or left == 1 or (left is not None and left == right)
