"""The build cache's guard: one build at a time, and no zip that a build has not finished."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from client.cloud import ROOT

CACHE = ROOT / "deploy" / "cache.cjs"
DEAD = "4194305"  # above Linux' highest process id


def start(folder: Path, program: str) -> subprocess.Popen[str]:
    """Run a program that has `cache` and `folder`, in a node process of its own."""
    prelude = f"const cache = require({str(CACHE)!r}); const folder = {str(folder)!r};"
    return subprocess.Popen(
        ["node", "-e", f"{prelude} (async () => {{ {program} }})()"],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.strip()


def test_half_a_zip_is_dropped_and_a_finished_one_kept(tmp_path: Path) -> None:
    (tmp_path / "whole.zip").write_text("whole")
    finish(start(tmp_path, "cache.markFinished(folder)"))
    (tmp_path / "half.zip").write_text("ha")
    finish(start(tmp_path, "cache.dropUnfinished(folder)"))
    assert {path.name for path in tmp_path.glob("*.zip")} == {"whole.zip"}


def test_a_second_build_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    hold = "await cache.lockBuild(folder); console.log('held'); process.stdin.once('data', () => process.exit())"
    first = start(tmp_path, hold)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    waiting = "const wait = cache.lockBuild(folder); console.log('waits'); (await wait)(); console.log('had it')"
    second = start(tmp_path, waiting)
    assert second.stdout is not None
    assert second.stdout.readline() == "waits\n"
    assert int((tmp_path / "lock").read_text()) == first.pid
    first.communicate("end", timeout=60)
    assert finish(second) == "had it"
    assert not (tmp_path / "lock").exists()


def test_the_lock_of_a_build_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(DEAD)
    assert finish(start(tmp_path, "await cache.lockBuild(folder); console.log(process.pid)")) != DEAD
    assert not (tmp_path / "lock").exists()
