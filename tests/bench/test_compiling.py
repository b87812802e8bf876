"""The measure of compiling runs on small graphs of each kind, and says what was chosen."""

from __future__ import annotations

import pytest

from bench.compiling import main
from bench.large_graphs import DEEP, GRAPHS


@pytest.mark.parametrize("graph", [*DEEP, *GRAPHS])
def test_a_row_has_the_ops_and_the_memory(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([graph, "--ops", "40"]) == 0
    cells = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert (cells[0], cells[2:5]) == (graph, ["2", "row", "row"])
    assert int(cells[1]) >= 20
    assert float(cells[-2]) >= max(map(float, cells[5:8]))
    assert int(cells[-1]) > 0
