"""An oracle for sharding rules: run an op whole and in pieces, as the rule's letters say, and compare.

It works on single-node models and plain onnxruntime, so it shares nothing with the compiler but the rules. Sizes along
an axis are divided unevenly. `wrong_letters` finds letters that a rule claims and that do not hold, `missing_letters`
axes that could be divided and that the rule does not offer. With more parts than elements, pieces are empty.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from engine.split import split_bounds
from partition.rules import RULES, OpFacts, Rule
from partition.rules.rule import factors

Array = NDArray[Any]
Place = tuple[int, int, int]
_VERSIONS = {"ai.onnx.ml": 3}  # of other domains than ONNX's own
_REDUCE = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


@dataclass(frozen=True)
class Case:
    """One op with inputs; the rule may see the values at `constants`; those at `weights` count as initializers."""

    op_type: str
    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any]
    outputs: int = 1
    version: int = 18
    constants: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    domain: str = ""

    def run(self, inputs: tuple[Array | None, ...]) -> list[Array]:
        """The op on these inputs, by onnxruntime."""
        names = [f"i{i}" if value is not None else "" for i, value in enumerate(inputs)]
        results = [f"o{i}" for i in range(self.outputs)]
        node = onnx.helper.make_node(self.op_type, names, results, domain=self.domain, **self.attributes)
        values = {
            name: (i, value) for i, (name, value) in enumerate(zip(names, inputs, strict=True)) if value is not None
        }
        given = {name: value for name, (i, value) in values.items() if i not in self.constants}
        fixed = [onnx.numpy_helper.from_array(v, name) for name, (i, v) in values.items() if i in self.constants]
        infos = [_info(name, value) for name, value in given.items()]
        graph = onnx.helper.make_graph([node], "op", infos, [onnx.ValueInfoProto(name=name) for name in results], fixed)
        model = onnx.helper.make_model(graph, opset_imports=self.opsets(), ir_version=10)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(results, given))

    def opsets(self) -> list[onnx.OperatorSetIdProto]:
        """What a model of the op imports."""
        domains = {"": self.version, **({self.domain: _VERSIONS.get(self.domain, 1)} if self.domain else {})}
        return [onnx.helper.make_opsetid(domain, version) for domain, version in domains.items()]

    def facts(self) -> OpFacts:
        """What the rule sees."""
        known = {i: value for i in self.constants if (value := self.inputs[i]) is not None}
        return OpFacts(
            domain=self.domain,
            op_type=self.op_type,
            version=self.version,
            shapes=tuple(None if value is None else value.shape for value in self.inputs),
            outputs=(None,) * self.outputs,
            attributes={n: v.encode() if isinstance(v, str) else v for n, v in self.attributes.items()},
            constants=known,
            weights=tuple(i in self.weights for i in range(len(self.inputs))),
        )

    def rule(self) -> Rule | None:
        """The registered rule on this case."""
        return RULES.find(self.facts())


def _info(name: str, value: Array) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, [None] * value.ndim)


def wrong_letters(case: Case, rule: Rule, parts: int) -> list[str]:
    """Letters of the rule along which the pieces do not make up the whole, and linear sets that do not hold."""
    whole = case.run(case.inputs)
    wrong = [letter for letter in rule.letters if not _holds(case, rule, letter, whole, parts)]
    return wrong + [f"linear {sorted(group)}" for group in rule.linear if not _is_linear(case, group, whole, parts)]


def _holds(case: Case, rule: Rule, letter: str, whole: list[Array], parts: int) -> bool:
    sizes = _letter_sizes(case, rule, whole)
    if not _applies(rule, letter, sizes, parts):
        return True
    axes = [_place(letters, letter, sizes) for letters in rule.inputs]
    targets = [_place(letters, letter, sizes) for letters in rule.outputs]
    local = [_localized(case, rule, letter, sizes, i, parts) for i in range(parts)]
    pieces = [_run_part(local[i], axes, targets, i, parts, letter in rule.guard) for i in range(parts)]
    if letter in rule.places:
        pieces = [_masked(case, piece, rule.places[letter], sizes[letter], i, parts) for i, piece in enumerate(pieces)]
    return all(
        _same(want, _joined([piece[i] for piece in pieces], targets[i], rule.reduce.get(letter, "")))
        for i, want in enumerate(whole)
    )


def _run_part(
    case: Case, axes: list[Place | None], targets: list[Place | None], part: int, parts: int, guard: bool
) -> list[Array]:
    """A part's outputs; of an empty part that is guarded, what is left of those of one element of zeros."""
    cut = _cut(case.inputs, axes, part, parts)
    pairs = [(value, place) for value, place in zip(cut, axes, strict=True) if value is not None and place]
    if not guard or pairs[0][0].shape[pairs[0][1][0]]:
        return case.run(cut)
    filled = tuple(
        np.zeros([n or 1 for n in v.shape], v.dtype) if v is not None and p else v
        for v, p in zip(cut, axes, strict=True)
    )
    made = zip(case.run(filled), targets, strict=True)
    return [np.take(value, [], axis=place[0]) if place else value for value, place in made]


def _letter_sizes(case: Case, rule: Rule, whole: list[Array]) -> dict[str, int]:
    """The size of every letter: that of its own axis, or the rest of one that it shares."""
    tensors = [*zip(case.inputs, rule.inputs, strict=True), *zip(whole, rule.outputs, strict=True)]
    axes = [(factors(a), n) for v, names in tensors if v is not None for a, n in zip(names, v.shape, strict=False)]
    sizes = {**{parts[0]: n for parts, n in axes if len(parts) == 1}, **{str(n): n for n in range(1000)}}
    for parts, size in axes:
        unknown = [part for part in parts if part not in sizes]
        if len(unknown) == 1:
            sizes[unknown[0]] = size // math.prod(sizes[part] for part in parts if part in sizes)
    return sizes


def _applies(rule: Rule, letter: str, sizes: Mapping[str, int], parts: int) -> bool:
    """Whether the rule claims anything of so many parts: of solid letters and units it may not."""
    shared = any(letter in factors(a) and len(factors(a)) > 1 for axes in (*rule.inputs, *rule.outputs) for a in axes)
    return sizes[letter] >= parts or not (letter in rule.solid or letter in rule.units or shared)


def _localized(case: Case, rule: Rule, letter: str, sizes: Mapping[str, int], part: int, parts: int) -> Case:
    """The op with its units counted, and the sizes of its output listed, for one part."""
    low, high = split_bounds(sizes[letter], parts)[part]
    counts = {name: case.attributes[name] * (high - low) // sizes[letter] for name in rule.units.get(letter, ())}
    if letter == rule.directions:
        names = list(case.attributes.get("activations", ()))
        counts["direction"] = ("forward", "reverse")[low]
        counts |= {"activations": names[low * len(names) // 2 : high * len(names) // 2]} if names else {}
    inputs, place = list(case.inputs), _place(rule.outputs[0], letter, sizes)
    if rule.sizes is not None and place:
        listed = np.array(inputs[rule.sizes])
        listed[place[0]] = (
            listed[place[0]] * (high - low) // sizes[letter] if listed[place[0]] > 0 else listed[place[0]]
        )
        inputs[rule.sizes] = listed
    if letter in rule.places:
        found = np.asarray(inputs[rule.places[letter]]) % sizes[letter]
        inputs[rule.places[letter]] = np.where((found >= low) & (found < high), found - low, 0)
    return replace(case, inputs=tuple(inputs), attributes={**case.attributes, **counts})


def _masked(case: Case, piece: list[Array], places: int, size: int, part: int, parts: int) -> list[Array]:
    """What a part looked up, 0 where the place is another part's."""
    found, (low, high) = np.asarray(case.inputs[places]) % size, split_bounds(size, parts)[part]
    own = (found >= low) & (found < high)
    return [np.where(own.reshape(*own.shape, *(1,) * (value.ndim - own.ndim)), value, 0) for value in piece]


def _is_linear(case: Case, group: frozenset[int], whole: list[Array], parts: int) -> bool:
    rng = np.random.default_rng(0)
    shares: dict[int, list[Array]] = {}
    for i in group:
        value = case.inputs[i]
        assert value is not None
        pieces = [np.asarray(rng.standard_normal(value.shape), value.dtype) for _ in range(parts - 1)]
        shares[i] = [*pieces, np.asarray(value - sum(pieces), value.dtype)]
    runs = [
        case.run(tuple(shares[i][p] if i in shares else v for i, v in enumerate(case.inputs))) for p in range(parts)
    ]
    return all(_same(want, _joined([run[i] for run in runs], None, "sum")) for i, want in enumerate(whole))


def missing_letters(case: Case, rule: Rule | None, parts: int) -> list[tuple[int | None, ...]]:
    """Ways to divide inputs (an axis or None per input) that work by joining or summing and that the rule lacks."""
    whole = case.run(case.inputs)
    offered = {tuple(_axis(letters, letter) for letters in rule.inputs) for letter in rule.letters} if rule else set()
    return [axes for axes in _divisions(case) if axes not in offered and _works(case, axes, whole, parts)]


def _divisions(case: Case) -> Iterator[tuple[int | None, ...]]:
    """Every way to divide some of the variable inputs along axes of one size above 1."""
    options = [
        [None, *range(value.ndim)] if value is not None and i not in case.constants else [None]
        for i, value in enumerate(case.inputs)
    ]
    for axes in itertools.product(*options):
        pairs = ((v, a) for v, a in zip(case.inputs, axes, strict=True) if a is not None and v is not None)
        sizes = {value.shape[axis] for value, axis in pairs}
        if len(sizes) == 1 and min(sizes) > 1:
            yield axes


def _works(case: Case, axes: tuple[int | None, ...], whole: list[Array], parts: int) -> bool:
    try:
        pieces = [case.run(_cut(case.inputs, list(map(_plain, axes)), i, parts)) for i in range(parts)]
    except Exception:  # noqa: BLE001 - onnxruntime refuses the pieces: that is an answer
        return False
    return all(_some_join(want, [piece[i] for piece in pieces]) for i, want in enumerate(whole))


def _some_join(want: Array, pieces: list[Array]) -> bool:
    """Whether the pieces are those of the whole along some axis, divided as every axis is, or sum up to it."""
    joins: list[int | None] = [None, *(axis for axis in range(want.ndim) if _divides(want, pieces, axis))]
    return any(_same(want, _joined(pieces, _plain(axis), "sum")) for axis in joins)


def _plain(axis: int | None) -> Place | None:
    return None if axis is None else (axis, 1, 1)


def _divides(want: Array, pieces: list[Array], axis: int) -> bool:
    sizes = [high - low for low, high in split_bounds(want.shape[axis], len(pieces))]
    return all(piece.ndim == want.ndim for piece in pieces) and sizes == [piece.shape[axis] for piece in pieces]


def _axis(letters: tuple[str, ...], letter: str) -> int | None:
    return next((i for i, axis in enumerate(letters) if letter in factors(axis)), None)


def _place(letters: tuple[str, ...], letter: str, sizes: Mapping[str, int]) -> Place | None:
    """(axis, sizes of what shares it: before the letter, and behind it)."""
    axis = _axis(letters, letter)
    if axis is None:
        return None
    parts = factors(letters[axis])
    at = parts.index(letter)
    return axis, math.prod(sizes[p] for p in parts[:at]), math.prod(sizes[p] for p in parts[at + 1 :])


def _cut(inputs: tuple[Array | None, ...], axes: list[Place | None], part: int, parts: int) -> tuple[Array | None, ...]:
    return tuple(_piece(value, place, part, parts) for value, place in zip(inputs, axes, strict=True))


def _piece(value: Array | None, place: Place | None, part: int, parts: int) -> Array | None:
    if value is None or place is None:
        return value
    axis, before, after = place
    opened = _opened(value, axis, before, after)
    low, high = split_bounds(opened.shape[axis + 1], parts)[part]
    return np.ascontiguousarray(_closed(opened[(slice(None),) * (axis + 1) + (slice(low, high),)], axis))


def _opened(value: Array, axis: int, before: int, after: int) -> Array:
    """The axis as three: what is before the letter, the letter, and what is behind it."""
    shape = value.shape
    return value.reshape(*shape[:axis], before, shape[axis] // (before * after), after, *shape[axis + 1 :])


def _closed(value: Array, axis: int) -> Array:
    return value.reshape(*value.shape[:axis], math.prod(value.shape[axis : axis + 3]), *value.shape[axis + 3 :])


def _joined(pieces: list[Array], place: Place | None, reduce: str) -> Array | None:
    """The pieces joined along an axis, or combined; None if they do not fit."""
    try:
        if place is not None:
            axis, before, after = place
            return _closed(np.concatenate([_opened(piece, axis, before, after) for piece in pieces], axis + 1), axis)
        if not reduce or pieces[0].dtype == np.bool_:
            return None
        result = pieces[0]
        for piece in pieces[1:]:
            result = _REDUCE[reduce](result, piece)
        return result
    except ValueError:
        return None


def _same(want: Array, got: Array | None) -> bool:
    if got is None or want.shape != got.shape or want.dtype != got.dtype:
        return False
    if want.dtype.kind in "fc":
        return bool(np.allclose(want, got, rtol=1e-4, atol=1e-5, equal_nan=True))
    return bool(np.array_equal(want, got))
