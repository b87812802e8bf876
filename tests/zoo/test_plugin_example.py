"""A third-party distribution, really installed, adds a card: found by its entry point, listed, checked, run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = """
from zoo.registry import get_card
from zoo.testing import CardContract

class TestParity(CardContract):
    card = get_card("parity")
    given = {"bits": 6}
    count = 40
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example distribution is installed to."""
    folder = tmp_path_factory.mktemp("plugins")
    source = tmp_path_factory.mktemp("source") / "zoo-plugin"
    subprocess.run(["cp", "-r", str(ROOT / "examples" / "zoo-plugin"), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(source)], check=True, capture_output=True)
    return folder


def _run(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{installed}:{ROOT}"}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_its_card_is_listed_and_its_broken_one_only_warns(installed: Path) -> None:
    done = _run(installed, "-m", "client.cli", "zoo", "--json")
    assert done.returncode == 0, done.stderr
    names = [card["name"] for card in json.loads(done.stdout)]
    assert "parity" in names
    assert "digits-mlp" in names
    assert "parity-broken" not in names
    assert "parity-broken" in done.stderr
    assert "needs something that is not installed" in done.stderr


def test_its_card_passes_the_contract_suite(installed: Path, tmp_path: Path) -> None:
    suite = tmp_path / "test_parity.py"
    suite.write_text(CONTRACT)
    done = _run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(suite))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("strategy", ["row", "column", "batch"])
def test_its_card_runs_split(installed: Path, strategy: str) -> None:
    words = ["verify", "parity", "--workers", "3", "--strategy", strategy, "--option", "bits=7", "--json"]
    done = _run(installed, "-m", "client.cli", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_without_it_the_card_is_unknown() -> None:
    done = _run(Path("/nonexistent"), "-m", "client.cli", "verify", "parity", "--workers", "2", "--strategy", "row")
    assert done.returncode == 2
    assert "parity" in done.stderr
    assert "Traceback" not in done.stderr
