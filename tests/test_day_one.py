"""The README's walk-through, command by command, on the embedded cloud that the other tests use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment
from tests.documents import ROOT, commands, table

README = (ROOT / "README.md").read_text()
FIRST, LAST = "fsd register digits-mlp --strategy row --workers 4", "fsd rm digits-mlp"


def walk_through() -> list[str]:
    """From the first registration to the removal of the model: the cloud itself is the fixture's business."""
    section = README.split("## Day one")[1].split("\n## ")[0]
    lines = [line.split("  #")[0].strip() for line in commands(section)]
    return lines[lines.index(FIRST) : lines.index(LAST) + 1]


def test_day_one_works_as_written(deployment: Deployment, tmp_path: Path) -> None:
    run_id = "RUN"
    for line in walk_through():
        here = line.replace("x.npz", f"{tmp_path}/x.npz").replace("y.npz", f"{tmp_path}/y.npz")
        done = deployment.run("bash", "-c", here.replace("RUN", run_id))
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if line.startswith("sls invoke"):
            answer = json.loads(done.stdout)
            _check_answer(answer)
            run_id = answer["run_id"]
    assert run_id != "RUN"


def _check_answer(answer: dict[str, Any]) -> None:
    documented = table(README, "The answer:")
    assert set(answer) <= set(documented)
    assert set(answer["phases"]) == set(re.findall(r"`(\w+)`", documented["phases"]))
    scores = answer["outputs"]["y"][0]
    assert scores.index(max(scores)) == 1


@pytest.mark.parametrize(
    "command",
    [
        "sls invoke",
        "fsd infer",
        "fsd models",
        "fsd zoo",
        "fsd bill",
        "fsd result",
        "fsd logs",
        "fsd retry",
        "fsd doctor",
        "sls logs",
    ],
)
def test_the_walk_through_shows(command: str) -> None:
    assert any(line.startswith(command) for line in walk_through())
