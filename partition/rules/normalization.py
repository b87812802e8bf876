"""Normalisations over channels and space; those over the last axes are in softmax."""

from __future__ import annotations

from partition.rules.facts import OpFacts, axis_letters, normal_axis
from partition.rules.registry import RULES
from partition.rules.rule import Letters, Rule, composite


@RULES.register("BatchNormalization")
def batch_norm(facts: OpFacts) -> Rule | None:
    """`n c x0, c, c, c, c -> n c x0` in inference: every element by itself, with its channel's parameters."""
    shape = facts.shapes[0]
    trains = facts.integer("training_mode", 0) or len(facts.outputs) > 1 or not facts.integer("spatial", 1)
    if shape is None or len(shape) < 2 or trains:
        return None
    letters = ("n", "c", *(f"x{i}" for i in range(len(shape) - 2)))
    return _by_channel(facts, letters, frozenset())


@RULES.register("InstanceNormalization")
def instance_norm(facts: OpFacts) -> Rule | None:
    """`n c x0, c, c -> n c x0; whole x0`."""
    shape = facts.shapes[0]
    if shape is None or len(shape) < 3:
        return None
    spatial = tuple(f"x{i}" for i in range(len(shape) - 2))
    return _by_channel(facts, ("n", "c", *spatial), frozenset(spatial))


@RULES.register("GroupNormalization")
def group_norm(facts: OpFacts) -> Rule | None:
    """`n (c 2) x0, (c 2), (c 2) -> n (c 2) x0; units c: num_groups; guard n`.

    onnxruntime 1.31 refuses to normalise no samples.
    """
    shape = facts.shapes[0]
    if shape is None or len(shape) < 3 or not isinstance(shape[1], int):
        return None
    spatial = tuple(f"x{i}" for i in range(len(shape) - 2))
    width = shape[1] // facts.integer("num_groups", 1)
    channels = composite("c", *(width,) * (width > 1))
    letters = ("n", channels, *spatial)
    channel = "c" if facts.is_weight(1) else ""
    return Rule(
        (letters, (channels,), (channels,)),
        (letters,),
        whole=frozenset(spatial),
        row=channel,
        column=channel,
        guard=frozenset({"n"}),
        units={"c": ("num_groups",)},
    )


@RULES.register("LRN")
def local_response(facts: OpFacts) -> Rule | None:
    """`a b c -> a b c; whole b`: sums over neighbouring channels."""
    return _whole_axes(facts, [1])


@RULES.register("LpNormalization")
def lp_norm(facts: OpFacts) -> Rule | None:
    """`a b -> a b; whole b`."""
    return _whole_axes(facts, [facts.integer("axis", -1)])


@RULES.register("MeanVarianceNormalization")
def mean_variance(facts: OpFacts) -> Rule | None:
    """`a b c d -> a b c d; whole a c d`."""
    return _whole_axes(facts, facts.attributes.get("axes") or [0, 2, 3])


def _whole_axes(facts: OpFacts, axes: list[int]) -> Rule | None:
    shape = facts.shapes[0]
    if not shape:
        return None
    letters = axis_letters(len(shape))
    whole = frozenset(letters[normal_axis(axis, len(shape))] for axis in axes)
    return Rule((letters,), (letters,), whole=whole)


def _by_channel(facts: OpFacts, letters: Letters, whole: frozenset[str]) -> Rule:
    channel = "c" if facts.is_weight(1) else ""
    inputs = (letters, *(("c",) for _ in facts.shapes[1:]))
    return Rule(inputs, (letters,), whole=whole, row=channel, column=channel)
