"""Hostile files through every command, in a process of their own: one line, status 2, bounded memory and time.

The process checks a file with `fsd verify`, `fsd plan`, `fsd register` (its bundle goes to a folder) and
`client.verify.run_split`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.partition import hostile
from tests.partition.hostile import HOSTILE, SHELL_NAME
from tests.partition.hostile_commands import COMMANDS
from tests.partition.models import model

MEMORY_BYTES, LIMIT_S = 500 << 20, 120  # the limit ends a hang; it measures nothing

AT_RUN = {"growing_loop"}  # how much its steps make, only a run can tell


Check = Callable[[Path, Path], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    """What every command answers on a file, with the data segment bounded; its folder is the home of the process."""
    log = tmp_path_factory.mktemp("commands") / "stderr"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "tests.partition.hostile_commands"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=_bounded,
            env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        ) as process,
    ):
        yield partial(_asked, process, log)
        assert process.stdin is not None
        process.stdin.close()


def _asked(process: subprocess.Popen[str], log: Path, path: Path, home: Path) -> list[dict[str, Any]]:
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps({"path": str(path), "home": str(home), "limit_s": LIMIT_S}), file=process.stdin, flush=True)
    lines = (json.loads(line) for line in process.stdout if line.startswith("{"))
    answers = list(takewhile(lambda answer: "ended" not in answer, lines))
    assert [answer["command"] for answer in answers] == list(COMMANDS), log.read_text()
    return answers


def _bounded() -> None:
    # Every thread's stack counts as data, and onnxruntime starts one per processor.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_gets_one_line_and_status_2_from_every_command(name: str, check: Check, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for answer in check(HOSTILE[name](tmp_path / "model"), tmp_path):
        if name in AT_RUN and answer["command"] in ("plan", "register"):
            continue
        assert answer["status"] == 2, answer
        assert [line[:5] for line in answer["said"].splitlines() if line.strip()] == ["fsd: "], answer


def _odd_names(a: str, b: str, c: str) -> hostile.Maker:
    """Three values of these names, one of them a weight, under a file name of the same kind."""
    weight = np.ones((4, 4), np.float32)
    nodes = [
        helper.make_node("MatMul", [a, "w" + c], [b], name=a),
        helper.make_node("Relu", [b], [c], name=c),
        helper.make_node("MatMul", [c, "w" + c], ["y"], name=b),
    ]
    return hostile.written(lambda: model(nodes, {a: ["n", 4]}, ["y"], {"w" + c: weight}))


ODD = {
    "shell": _odd_names(SHELL_NAME, "b;rm -rf *", "c$(id)"),
    "paths": _odd_names("../../x", "/etc/passwd", ".."),
    "control": _odd_names("a\x00b\x1b[31m", "\n\n", "\t\r"),
    "unicode": _odd_names("\u202e\u00e9", "\U0001f600", "\u4e2d\u6587 "),
    "long": _odd_names("a" * 5000, "b" * 70000, "c" * 300),
    "ours": _odd_names("x@replicate", "b@shard0", "b@partial_sum"),
    "derived": _odd_names("x#0", "y/part", "b__folded"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_only_names(name: str, check: Check, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for answer in check(ODD[name](tmp_path / "model"), tmp_path):
        assert answer["status"] == 0, answer
    assert not list(tmp_path.rglob("pwned"))


def test_weight_that_is_given_twice_alike_is_taken(check: Check, tmp_path: Path) -> None:
    proto = hostile.matmul(numpy_helper.from_array(np.ones((4, 4), np.float32), "w"))
    proto.graph.initializer.append(proto.graph.initializer[0])
    assert {answer["status"] for answer in check(hostile.written(lambda: proto)(tmp_path), tmp_path)} == {0}
