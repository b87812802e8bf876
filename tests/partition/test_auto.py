"""What `auto` chooses: it fits, sends little, and says so when nothing fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnx
import pytest

from client.verify import VerifyReport, verify
from partition import Options, UnsupportedModelError, compile_model
from tests.partition import blocks, models
from tests.partition.test_grids import tower

NAMED = ("batch", "column", "pipeline", "row", "tensor", "batch=2,row=2", "stage=2,row=2", "batch=2,stage=2")
MODELS: dict[str, Callable[[], onnx.ModelProto]] = {**models.DENSE, "tower": tower}
TIGHT = Options(weight_share=1.1)


@cache
def named(name: str, strategy: str) -> VerifyReport:
    """A model of MODELS on four ranks, with six samples."""
    proto = MODELS[name]()
    return verify(proto, models.random_inputs(proto, 6), 4, strategy)


def sent_by(name: str, strategy: str, share: float) -> int | None:
    """Bytes that four ranks send; None where a rank holds more than its share."""
    report = named(name, strategy)
    assert report.ok
    fullest = max(rank.weight_bytes for rank in report.ranks)
    return report.exchanged_bytes if fullest * 4 <= share * report.model_weight_bytes else None


@pytest.mark.parametrize(("name", "share"), [("digits_mlp", 1.1), ("digits_mlp", 2.2), ("tower", 1.1), ("tower", 2.2)])
def test_auto_sends_no_more_than_what_else_fits(name: str, share: float) -> None:
    proto = MODELS[name]()
    report = verify(proto, models.random_inputs(proto, 6), 4, "auto", Options(weight_share=share))
    assert report.ok, report.problems
    assert max(rank.weight_bytes for rank in report.ranks) * 4 <= share * report.model_weight_bytes
    others = [sent_by(name, strategy, share) for strategy in NAMED]
    assert report.exchanged_bytes <= 1.05 * min(sent for sent in others if sent is not None)


@pytest.mark.parametrize("name", models.DENSE)
@pytest.mark.parametrize("memory_bytes", [1, 1 << 9, 1 << 11, 1 << 20])
def test_auto_fits_and_is_right_or_says_what_is_possible(name: str, memory_bytes: int) -> None:
    proto = models.DENSE[name]()
    try:
        report = verify(proto, models.random_inputs(proto, 3), 3, "auto", Options(memory_bytes=memory_bytes))
    except UnsupportedModelError as error:
        least = int(str(error).rsplit(" ", 1)[-1])
        assert least > memory_bytes
        assert verify(proto, None, 3, "auto", Options(memory_bytes=least)).ok
    else:
        assert report.ok, report.problems
        assert max(rank.weight_bytes for rank in report.ranks) <= memory_bytes


@pytest.mark.parametrize(
    ("name", "options", "chosen"),
    [
        ("digits_mlp", Options(), {"batch"}),
        ("digits_mlp", TIGHT, {"column", "tensor"}),
        ("mixed_batch", Options(), {"tensor"}),
        ("tower", TIGHT, {"pipeline"}),
        ("tower", Options(weight_share=1.1, sizes={"n": 1}), {"pipeline"}),
        ("tower", Options(weight_share=2.1), {"batch=2,stage=2"}),
    ],
)
def test_auto_divides_no_further_than_memory_demands(
    name: str, options: Options, chosen: set[str], tmp_path: Path
) -> None:
    manifest = compile_model(MODELS[name](), "auto", 4, tmp_path, options=options).manifest
    assert manifest.strategy in chosen


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("name", blocks.BLOCKS)
def test_a_transformer_block_of_one_sample_costs_two_all_reduces(name: str, workers: int) -> None:
    """The second one, of the model's output, is a reduce: only rank 0 has to have it."""
    proto = blocks.BLOCKS[name]()
    report = verify(proto, models.random_inputs(proto, 1), workers, "tensor", TIGHT)
    assert report.ok, report.problems
    assert report.exchanges == {"broadcast": 1, "all_reduce": 1, "reduce": 1}
    assert max(rank.weight_bytes for rank in report.ranks) * workers <= 1.1 * report.model_weight_bytes


def test_one_worker_is_serial(tmp_path: Path) -> None:
    assert compile_model(models.digits_mlp(), "auto", 1, tmp_path).manifest.strategy == "serial"


def test_a_limit_that_nothing_meets_is_named_with_the_least_that_is_possible(tmp_path: Path) -> None:
    message = r"^auto: expected at most 100 bytes of weights on each of 2 workers, the least that is possible is \d+$"
    with pytest.raises(UnsupportedModelError, match=message):
        compile_model(models.digits_mlp(), "auto", 2, tmp_path, options=Options(memory_bytes=100))


@pytest.mark.parametrize("strategy", ["tensor", "stage=2,tensor=2"])
def test_a_limit_presses_tensor_into_it(strategy: str) -> None:
    report = verify(tower(), None, 4, strategy, TIGHT)
    assert report.ok, report.problems
    assert max(rank.weight_bytes for rank in report.ranks) * 4 <= 1.1 * report.model_weight_bytes


def test_a_named_strategy_is_held_to_a_limit_that_is_given(tmp_path: Path) -> None:
    options = Options(weight_share=1.5)
    compile_model(models.digits_mlp(), "row", 2, tmp_path, options=options)
    with pytest.raises(UnsupportedModelError, match=r"^strategy batch: expected at most 9105 bytes of weights"):
        compile_model(models.digits_mlp(), "batch", 2, tmp_path, options=options)
