"""`auto` on models that it was not tuned on: right, as foretold, and at most 1.05 times the fewest bytes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import pytest
from onnx import helper

from client.verify import verify
from partition import CompileError, Options
from partition.compile import Prepared, lay_out, prepare
from partition.grid import parse_strategy
from partition.samples import sample_axes
from partition.traffic import traffic
from tests.partition.blocks import Block
from tests.partition.models import Array, floats, model, random_inputs

SLACK = 1.05
SEEDS = range(3)


def transformer(dice: random.Random) -> onnx.ModelProto:
    """Blocks of odd sizes, one sample, normalised first or last, with or without biases."""
    heads = dice.choice([2, 3, 5, 6, 12])
    block, width, x = Block(heads * dice.choice([4, 5, 8]), heads), heads, "x"
    width = block.width
    for _ in range(dice.choice([1, 2])):
        before = dice.random() < 0.5
        h = block.norm(x) if before else x
        q, k, v = (block.by_heads(block.linear(h, width, width), [0, -1]) for _ in range(3))
        x = block.op("Add", x, block.linear(block.merged(block.attend(q, k, v), [0, -1]), width, width))
        x = x if before else block.norm(x)
        x = block.op("Add", x, block.mlp(block.norm(x) if before else x, dice.choice([2, 4])))
    return block.model([1, dice.choice([1, 3, 16]), width], x)


def dense(dice: random.Random) -> onnx.ModelProto:
    """Layers of random widths."""
    sizes = [dice.choice([3, 7, 16, 33, 64, 100]) for _ in range(dice.randint(2, 6))]
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        weights |= {f"w{i}": floats(a, b, scale=a**-0.5), f"b{i}": floats(b)}
        nodes.append(helper.make_node("Gemm", [f"h{i}" if i else "x", f"w{i}", f"b{i}"], [f"g{i}"]))
        nodes.append(helper.make_node(dice.choice(["Relu", "Tanh", "Identity"]), [f"g{i}"], [f"h{i + 1}"]))
    return model(nodes, {"x": ["n", sizes[0]]}, [f"h{len(sizes) - 1}"], weights)


def convolutions(dice: random.Random) -> onnx.ModelProto:
    """Plain, depthwise and skipped convolutions, a pool and a product."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    x, channels = "x", dice.choice([3, 4, 6])
    first = channels
    for i in range(dice.randint(1, 4)):
        kind = dice.choice(["plain", "depthwise", "skipped"])
        out = dice.choice([4, 6, 8, 12]) if kind == "plain" else channels
        weights[f"w{i}"] = floats(out, 1 if kind == "depthwise" else channels, 3, 3, scale=0.2)
        groups = channels if kind == "depthwise" else 1
        nodes.append(helper.make_node("Conv", [x, f"w{i}"], [f"c{i}"], group=groups, pads=[1] * 4))
        skipped = helper.make_node("Add", [x, f"c{i}"], [f"h{i}"])
        nodes.append(skipped if kind == "skipped" else helper.make_node("Relu", [f"c{i}"], [f"h{i}"]))
        x, channels = f"h{i}", out
    weights["last"] = floats(channels, 10)
    ends = [("GlobalAveragePool", [x], ["g"]), ("Flatten", ["g"], ["f"]), ("MatMul", ["f", "last"], ["y"])]
    nodes += [helper.make_node(*end) for end in ends]
    return model(nodes, {"x": ["n", first, 8, 8]}, ["y"], weights)


FAMILIES: dict[str, Callable[[random.Random], onnx.ModelProto]] = {
    "convolutions": convolutions,
    "dense": dense,
    "transformer": transformer,
}


def grids(workers: int) -> Iterator[str]:
    """Every grid of so many workers with at least two axes."""
    divisors = [size for size in range(1, workers + 1) if workers % size == 0]
    for batch in divisors:
        for stage in (size for size in divisors if workers // batch % size == 0):
            inner = workers // batch // stage
            for within in ("row", "column", "tensor") if inner > 1 else ("row",):
                axes = [("batch", batch), ("stage", stage), (within, inner)]
                if sum(size > 1 for _, size in axes) > 1:
                    yield ",".join(f"{name}={size}" for name, size in axes if size > 1)


def foretold(prepared: Prepared, strategy: str, workers: int, options: Options) -> int | None:
    """Bytes that a strategy is predicted to send; None where it cannot be, or does not fit."""
    if "batch" in strategy and sample_axes(prepared.graph, workers) is None:
        return None  # all but one group would be idle
    try:
        layout = lay_out(prepared, parse_strategy(strategy, workers), workers, options)[1]
    except CompileError:
        return None
    return sum(sent.nbytes for sent in traffic(layout, {}, {}))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_auto_sends_little_and_as_much_as_foretold(family: str, seed: int) -> None:
    dice = random.Random(f"{family} {seed}")  # a string: the same everywhere
    proto, workers, share = FAMILIES[family](dice), dice.choice([2, 3, 4, 5, 8]), dice.choice([1.1, 1.5, 2.0, None])
    inputs = random_inputs(proto, dice.choice([1, 2, 5]))
    options = Options(weight_share=share, shapes={name: np.shape(value) for name, value in inputs.items()})
    named = ["batch", "row", "column", "tensor", "pipeline", *grids(workers)]
    prepared = prepare(proto, options)
    fitting = [sent for one in named if (sent := foretold(prepared, one, workers, options)) is not None]
    if not fitting:
        pytest.skip("nothing fits that limit")
    report = verify(proto, inputs, workers, "auto", options)
    assert report.ok, report.problems
    assert report.exchanged_bytes == foretold(prepared, "auto", workers, options)
    assert report.exchanged_bytes <= SLACK * min(fitting), report.strategy
    if share is not None:
        assert max(one.weight_bytes for one in report.ranks) * workers <= share * report.model_weight_bytes
