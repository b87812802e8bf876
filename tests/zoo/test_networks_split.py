"""Every built network, divided: the answer is onnxruntime's, and no rank holds much more than its share of the weights.

The networks are smaller than by default, to be quick; `python -m bench.cards` prints the table of the real ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from client.verify import VerifyReport, verify
from zoo import get_card

# Small, but with layers wide enough that what cannot be divided (scales, biases) is little beside what can.
GIVEN: dict[str, dict[str, object]] = {
    "decoder": {"layers": 1, "inner": 384, "vocabulary": 1000},
    "encoder": {"layers": 1, "vocabulary": 1000},
    "experts": {"layers": 1, "width": 128, "inner": 128, "vocabulary": 1000},
    "mobilenet": {"stages": 4, "classes": 40},
    "recommender": {"rows": 1000},
    "resnet": {"width": 16, "blocks": 1, "classes": 40},
    "unet": {"width": 16, "depth": 2},
    "unet by Resize": {"width": 16, "depth": 2, "transposed": False},
    "vit": {"layers": 1, "image": 16, "classes": 40},
}
MOST = 1.10  # times an equal share


def divide(name: str, strategy: str, workers: int, folder: Path) -> VerifyReport:
    """A small card of that name, divided, on 3 examples."""
    card = get_card(name.split()[0])
    options = card.parse(GIVEN.get(name, {}))
    return verify(card.build(options, folder), card.inputs(options, 3), workers, strategy)


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("strategy", ["column", "row"])
@pytest.mark.parametrize("name", sorted(GIVEN))
def test_each_rank_holds_its_share_and_the_answer_is_right(
    name: str, strategy: str, workers: int, tmp_path: Path
) -> None:
    report = divide(name, strategy, workers, tmp_path)
    assert report.ok, report.problems
    assert max(rank.weight_bytes for rank in report.ranks) * workers <= MOST * report.model_weight_bytes
    assert report.split_ops > 0


@pytest.mark.parametrize("strategy", ["column", "row"])
@pytest.mark.parametrize("name", sorted({*GIVEN, "lstm"}))
def test_three_ranks_which_divide_nothing_evenly_answer_right(name: str, strategy: str, tmp_path: Path) -> None:
    report = divide(name, strategy, 3, tmp_path)
    assert report.ok, report.problems
