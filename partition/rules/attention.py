"""Attention as one op: samples and heads are independent. Heads that share one axis are counted by attributes."""

from __future__ import annotations

from dataclasses import replace

from partition.rules.facts import Dim, OpFacts, Shape
from partition.rules.registry import RULES
from partition.rules.rule import REPEATED, Letters, Rule, composite, factors

_DOMAIN = "com.microsoft"
_KEYS, _VALUES = ("b", "h", "p", "d"), ("b", "h", "p", "e")
_SPLIT: tuple[Letters, ...] = (("b", "h", "q", "d"), ("b", "h", "k", "d"), ("b", "h", "k", "e"))
_JOINED: tuple[Letters, ...] = (("b", "q", "h"), ("b", "k", "h"), ("b", "k", "h"))
_Units = dict[str, tuple[str, ...]]
_HEADS: _Units = {"h": ("num_heads",)}
_GROUPS: _Units = {"g": ("num_heads", "kv_num_heads")}
_UNNAMED = "j"  # an axis of heads whose size is not known
_KEPT = frozenset({"d", "k", "n", "p", "t", _UNNAMED})


@RULES.register("Attention")
def attention(facts: OpFacts) -> Rule | None:
    """`b (h 3) q d, b h k d, b h k e, q n, b h p d, b h p e, b -> b (h 3) q e, b h t d, b h t e, b (h 3) q n`.

    `h` are the heads of keys and values, each with its queries. With three axes, `b q h`, heads stay whole: onnxruntime
    1.31 takes a joined axis whose size is open, as that of a part is, for one of size 0. See partition.heads.
    """
    shapes = facts.shapes
    query, key = shapes[:2]
    if not query or not key or len(query) != len(key) or len(facts.outputs) > 4 or len(shapes) > 7:
        return None
    split = len(query) == 4
    heads = _query_heads(query[1], key[1]) if split else "h"
    if heads is None:
        return None
    mask, vague = _mask(
        shapes[3] if len(shapes) > 3 else None, (query[0], query[1] if split else None, query[-2]), heads
    )
    first = ("b", heads, "q", "d") if split else _JOINED[0]
    result = ("b", heads, "q", "e") if split else _JOINED[0]
    inputs = (first, *(_SPLIT if split else _JOINED)[1:], mask, _KEYS, _VALUES, ("b",))
    given = tuple(axes if s is not None else () for axes, s in zip(inputs, shapes, strict=False))
    outputs = (result, ("b", "h", "t", "d"), ("b", "h", "t", "e"), ("b", heads, "q", "n"))
    return _by_heads(facts, given, outputs[: len(facts.outputs)], {}, vague | {*("" if split else "h")})


def _query_heads(queries: Dim, keys: Dim) -> str | None:
    """The axis of the queries' heads: as many to each head of the keys; None if that is not known."""
    if queries is not None and queries == keys:
        return "h"
    if not isinstance(queries, int) or not isinstance(keys, int) or not keys or queries % keys:
        return None
    return composite("h", queries // keys)


@RULES.register("MultiHeadAttention", domain=_DOMAIN)
def multi_head(facts: OpFacts) -> Rule | None:
    """`b q (h 8), b k (h 8), b k (h 4) -> b q (h 4); units h: num_heads`.

    A bias `(3 h 8)`, a mask `b n`, what is added to scores `b h q n`, and past keys and values are divided likewise.
    """
    shapes = facts.shapes
    ranks = [len(s) if s else 0 for s in shapes[:3]]
    if ranks not in ([3, 3, 3], [3, 4, 4]) or len(shapes) > 8:
        return None
    heads = [_heads(facts, _joined_size(s or ())) for s in shapes[:3]]
    joined = tuple((*axes[:2], h) for axes, h in zip(_JOINED, heads, strict=True))
    inputs = joined if ranks[1] == 3 else (joined[0], *_SPLIT[1:])
    bias, padding, added = (shapes[i] if i < len(shapes) else None for i in (3, 4, 5))
    if (bias and len(set(heads)) > 1) or (padding and len(padding) != 2) or (added and len(added) != 4):
        return None
    sizes = (shapes[0] or ())[:2]
    scores, vague = _mask(added, (sizes[0], facts.integer("num_heads", 0), sizes[1]))
    rest = (_side_by_side(heads[0]) if bias else (), ("b", "n") if padding else (), scores)
    given = (
        *inputs,
        *rest,
        *(axes if s is not None else () for axes, s in zip((_KEYS, _VALUES), shapes[6:], strict=False)),
    )
    outputs = (("b", "q", heads[2]), ("b", "h", "t", "d"), ("b", "h", "t", "e"))[: len(facts.outputs)]
    return _by_heads(facts, given[: len(shapes)], outputs, _HEADS, vague)


@RULES.register("Attention", domain=_DOMAIN)
def packed(facts: OpFacts) -> Rule | None:
    """`b s i, i (3 h 8), (3 h 8), b n -> b s (h 8)`: query, key and value from one weight; its row is `h`."""
    shapes = facts.shapes
    x, weight = shapes[:2]
    mask, added = (shapes[i] if i < len(shapes) else None for i in (3, 5))
    odd = facts.attributes.get("qkv_hidden_sizes") or len(shapes) > 6 or (mask is not None and len(mask) != 2)
    if not x or not weight or len(x) != 3 or odd or not isinstance(weight[1], int) or (added and len(added) != 4):
        return None
    heads = _heads(facts, weight[1] // 3)
    cache: Letters = ("two", "b", "h", "p", "d")
    scores, vague = _mask(added, (x[0], facts.integer("num_heads", 0), x[1]))
    inputs = (
        ("b", "s", "i"),
        ("i", *_side_by_side(heads)),
        _side_by_side(heads),
        ("b", "n"),
        cache,
        scores,
    )
    given = tuple(axes if s is not None else () for axes, s in zip(inputs, shapes, strict=False))
    outputs = (("b", "s", heads), ("two", "b", "h", "t", "d"))[: len(facts.outputs)]
    row = "h" if facts.is_weight(1) else ""
    whole = {"s", "i", "n", "q", "p", "d", "t", "two", _UNNAMED, *vague}
    fixed, guard = frozenset(whole & _names(*given, *outputs)), frozenset({"b"} - vague)
    return Rule(given, outputs, whole=fixed, row=row, units=_HEADS, guard=guard)


@RULES.register("QAttention", domain=_DOMAIN)
def quantized_packed(facts: OpFacts) -> Rule | None:
    """As Attention, with scales and zero points: `b s i, i (3 h 8), (3 h 8), -, -, b n, -, - -> b s (h 8)`."""
    shapes = facts.shapes
    scales = [s for i in (3, 4, 6, 7) if i < len(shapes) and (s := shapes[i]) is not None]
    if len(shapes) < 5 or len(shapes) > 8 or any(s not in ((), (1,)) for s in scales):
        return None
    plain = replace(facts, shapes=(*shapes[:3], shapes[5] if len(shapes) > 5 else None), attributes=facts.attributes)
    rule = packed(plain)
    if rule is None:
        return None
    x, weight, bias, mask = rule.inputs
    return replace(rule, inputs=(x, weight, bias, (), (), mask, (), ())[: len(shapes)])


@RULES.register("GroupQueryAttention", domain=_DOMAIN)
def grouped(facts: OpFacts) -> Rule | None:
    """`b s (g 16), b s (g 8), b s (g 8), b g p d, b g p d, b, - -> b s (g 16), b g t d, b g t d`.

    `g` are the heads of keys and values, each with its queries; rotary embedding inside changes nothing. What is added
    to scores, and sinks, follow the heads of queries.
    """
    shapes = facts.shapes
    query, key, value = shapes[:3]
    count = facts.integer("kv_num_heads", 0)
    if not query or len(query) != 3 or len(shapes) > 12 or not count:
        return None
    given_apart = [_grouped_axis(shape[2], count) for shape in (query, key, value) if shape]
    axes = [given_apart[0], *given_apart] if len(given_apart) == 3 else _packed_axes(facts, query[2], count)
    if not axes:
        return None
    joined = [("b", "s", axis) for axis in axes[1:]]
    cache, grown = ("b", "g", "p", "d"), ("b", "g", "t", "d")
    places, bias = (shapes[i] if i < len(shapes) else None for i in (9, 10))
    queries = _grouped_axis(facts.integer("num_heads", 0), count)
    added, vague = _mask(bias, (query[0], facts.integer("num_heads", 0), query[1]), queries)
    inputs = (*joined, cache, cache, ("b",), (), (), (), ("b", "s") if places else (), added, (queries,))
    given = tuple(a if s is not None else () for a, s in zip(inputs, shapes, strict=False))
    outputs = (("b", "s", axes[0]), grown, grown)[: len(facts.outputs)]
    parted = _UNNAMED not in _names(*given)
    kept = {"s", "p", "d", "t", "n", "q", "y", _UNNAMED, *vague, *("" if parted else "g")}
    whole = frozenset(kept & _names(*given, *outputs))
    return Rule(given, outputs, whole=whole, units=_GROUPS if parted else {}, guard=frozenset({"b"} - vague))


def _packed_axes(facts: OpFacts, size: Dim, count: int) -> list[str]:
    """Axes of the result and of queries, keys and values side by side: by heads where there are as many of each.

    Empty if the sizes do not show that keys and values are there: what is absent looks as what is unknown.
    """
    heads, cache = facts.integer("num_heads", 0), facts.shapes[3] if len(facts.shapes) > 3 else None
    width = cache[-1] if cache else None
    if not isinstance(width, int) or size != width * (heads + 2 * count):
        return []
    if heads != count:
        return ["y", _UNNAMED, _UNNAMED, _UNNAMED]
    each = composite("g", *(width,) * (width > 1))
    return [each, composite(3, *factors(each)), _UNNAMED, _UNNAMED]


def _grouped_axis(size: Dim, count: int) -> str:
    whole = isinstance(size, int) and size % count == 0
    return composite("g", *(size // count,) * (size > count)) if whole and isinstance(size, int) else _UNNAMED


def _joined_size(shape: Shape) -> Dim:
    """Heads x features, as one axis or as two (`b h k d`)."""
    if len(shape) == 3:
        return shape[2]
    return shape[1] * shape[3] if isinstance(shape[1], int) and isinstance(shape[3], int) else None


def _heads(facts: OpFacts, size: Dim) -> str:
    """The axis that holds all heads, one after another."""
    count = facts.integer("num_heads", 0)
    width = size // count if isinstance(size, int) and count and size % count == 0 else 0
    return composite("h", *(width,) * (width > 1)) if width else _UNNAMED


def _side_by_side(heads: str) -> Letters:
    """The axis of query, key and value, each with all heads."""
    return (composite(3, *factors(heads)),)


@RULES.register("RotaryEmbedding")
def rotary(facts: OpFacts) -> Rule | None:
    """`b h s d, p d2, p d2, b s -> b h s d`; with three axes `b s h`, whose heads num_heads counts."""
    x, cos = facts.shapes[0], facts.shapes[1]
    if not x or not cos or len(x) not in (3, 4):
        return None
    places: Letters = ("b", "s") if len(facts.shapes) > 3 and facts.shapes[3] is not None else ()
    table: Letters = () if places else ("b", "s", "t")
    return _rotary(facts, (table, table, places)[: len(facts.shapes) - 1])


@RULES.register("RotaryEmbedding", domain=_DOMAIN)
def rotary_fused(facts: OpFacts) -> Rule | None:
    """`b h s d, b s, -, - -> b h s d`; a single position is that of every sample's first element."""
    x, places = facts.shapes[:2]
    if not x or not places or len(x) not in (3, 4):
        return None
    placed = len(places) == 2
    return _rotary(facts, (("b", "s") if placed else (), (), ()), "dt" if placed else "dst")


def _rotary(facts: OpFacts, rest: tuple[Letters, ...], whole: str = "dt") -> Rule | None:
    split = len(facts.shapes[0] or ()) == 4
    x = ("b", "h", "s", "d") if split else ("b", "s", _heads(facts, (facts.shapes[0] or ())[2]))
    return _by_heads(facts, (x, *rest), (x,), {} if split else _HEADS, frozenset(whole))


def _by_heads(
    facts: OpFacts, inputs: tuple[Letters, ...], outputs: tuple[Letters, ...], units: _Units, whole: frozenset[str]
) -> Rule | None:
    """Onnxruntime 1.31 refuses to attend to nothing. A causal query knows its place; heads must be counted."""
    if any(name not in facts.attributes for names in units.values() for name in names):
        return None
    letters = _names(*inputs, *outputs)
    causal = facts.integer("is_causal", 0) or facts.integer("unidirectional", 0)
    fixed = letters & {*whole, *_KEPT, *("q" if causal else "")}
    free = letters - fixed - units.keys()
    told = {name for name in free if all(name in _names(axes) for axes in outputs)}
    guard = frozenset(told & {"b", "q", "s"})
    return Rule(inputs, outputs, whole=frozenset(fixed), solid=frozenset(free - guard), units=units, guard=guard)


def _names(*tensors: Letters) -> set[str]:
    """All letters."""
    return {name for axes in tensors for axis in axes for name in factors(axis) if not name.isdigit()}


def _mask(mask: Shape | None, sizes: tuple[Dim, ...], heads: str = "h") -> tuple[Letters, frozenset[str]]:
    """Letters of a mask, aligned to the right of `b h q n`; and those that stay whole, as it may have 1 of them.

    sizes: of samples, heads and queries.
    """
    own = ("b", heads, "q", "n")[4 - len(mask or ()) :]
    expected = (*sizes, None)[4 - len(mask or ()) :]
    pairs = list(zip(own, mask or (), expected, strict=True))
    vague = _names(*((axis,) for axis, size, want in pairs if size != 1 and (size is None or size != want)))
    return tuple(REPEATED if size == 1 else axis for axis, size, _ in pairs), frozenset(vague)
