"""Every built network, divided: the answer is onnxruntime's, and no rank holds much more than its share of the weights.

The networks are smaller than by default, to be quick; `python -m bench.cards` measures them at full size.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cards import CARDS, EXEMPT, Row, main, markdown, measure
from client.verify import verify
from tests.zoo.test_networks import NETWORKS, network

# Small, but with layers wide enough that what cannot be divided (scales, biases) is little beside what can.
GIVEN: dict[str, dict[str, object]] = {
    "decoder": {"layers": 1, "inner": 384, "vocabulary": 1000},
    "decoder of fused ops": {"layers": 1, "inner": 384, "vocabulary": 1000, "fused": True},
    "encoder": {"layers": 1, "vocabulary": 1000},
    "experts": {"layers": 1, "width": 128, "inner": 128, "vocabulary": 1000},
    "lstm": {"layers": 1, "hidden": 16, "features": 24, "vocabulary": 100},
    "mobilenet": {"stages": 4, "classes": 40},
    "recommender": {"rows": 1000},
    "resnet": {"width": 16, "blocks": 1, "classes": 40},
    "unet": {"width": 16, "depth": 2},
    "unet by Resize": {"width": 16, "depth": 2, "transposed": False},
    "vit": {"layers": 1, "image": 16, "classes": 40},
}
STRATEGIES = ("auto", "column", "pipeline", "row")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", sorted(GIVEN.keys() - EXEMPT.keys()))
def test_each_rank_holds_its_share_and_the_answer_is_right(name: str, strategy: str, tmp_path: Path) -> None:
    rows = list(measure(name.split()[0], tmp_path, [strategy], (2, 4), GIVEN[name]))
    assert [row for row in rows if not row.holds] == []


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", sorted(GIVEN))
def test_three_ranks_which_divide_nothing_evenly_answer_right(name: str, strategy: str, tmp_path: Path) -> None:
    card = network(name.split()[0])
    options = card.parse(GIVEN[name])
    report = verify(card.build(options, tmp_path), card.inputs(options, 2), 3, strategy)
    assert report.ok, report.problems


def test_every_network_is_measured() -> None:
    assert list(CARDS) == NETWORKS


def test_a_share_that_is_too_large_or_a_wrong_answer_is_marked() -> None:
    good, large, wrong = (
        Row("vit", "row", 2, share, 1000, 1000, 0.0, ok) for share, ok in ((1.1, True), (1.11, True), (1.0, False))
    )
    assert [row.holds for row in (good, large, wrong)] == [True, False, False]
    assert Row("lstm", "row", 2, 2.0, 1000, None, 0.0, True).holds
    assert markdown([large]).splitlines()[-1] == "| vit | row | 1.110, 1,000 B **missed** |"


def test_the_table_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cards.md"
    call = ["--cards", "recommender", "--strategies", "row", "--workers", "2", "--output", str(path)]
    assert main(call) == 0
    assert "recommender row x 2: 1.000" in capsys.readouterr().out
    assert "| recommender | row | 1.000" in path.read_text()
