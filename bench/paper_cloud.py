"""Rows of the paper's table on the deployed embedded cloud: how many function processes fit here, and one run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench.graphchallenge import BenchCase, run_case
from bench.paper import Case, Measured
from bench.paper_compile import STRATEGY
from client.api import Client
from client.errors import CloudError, UsageError
from client.target import Stage, find_stage
from costs import calls_from_json

ON_CLOUD = "embedded cloud: a function process for each worker, warm request"
PROCESS_BYTES = 200e6  # of a function's process with a shard of N = 4096: 110 to 200 MB measured
# An environment takes about 4 CPU seconds to start, all of them at once on this machine's cores. Who would go on with a
# run that was handed over had to start among them.
PATIENCE = {"wait_s": 860.0, "start_s": 600.0, "stall_s": 300.0, "deadline_s": 890.0, "lane_wait_s": 60.0}
_MEMORY = Path("/proc/meminfo")


def room(environment: Mapping[str, str] = os.environ) -> dict[str, int]:
    """By channel, up to how many workers a run may take as function processes here; empty without an embedded cloud.

    As many as memory is available for; through the queue no more than the stage's lanes have queues.
    """
    if environment.get("FSD_TARGET") == "aws":
        return {}
    try:
        stage = find_stage(environment=environment)
    except CloudError:
        return {}
    fit = int(available_bytes(_MEMORY.read_text() if _MEMORY.exists() else "") / PROCESS_BYTES)
    return {"queue": min(fit, _ranks(stage)), "object": fit}


def available_bytes(meminfo: str) -> int:
    """MemAvailable of Linux's table; 0 where there is none."""
    found = (line.split() for line in meminfo.splitlines())
    return next((int(words[1]) * 1024 for words in found if words[:1] == ["MemAvailable:"]), 0)


def _ranks(stage: Stage) -> int:
    """Queues of a lane, as `infer` is told."""
    answer = stage.functions.get_function_configuration(FunctionName=stage.function("infer"))
    return int(answer["Environment"]["Variables"]["FSD_RANKS"])


def run_on_cloud(case: Case, data: Path | None, checked: int) -> Measured:
    """A cold request and a warm one; the warm one counts. checked: samples held against the truth.

    Raises:
        UsageError: the lanes have fewer queues than the case has workers, so that it went another way.
        ClientError, ZooError, CompileError: one line.
    """
    shape = case.neurons, case.workers, case.channel, STRATEGY, case.layers, case.samples
    wanted = BenchCase(*shape, data, checked=checked, control=case.control)
    result = run_case(Client(), wanted, PATIENCE)
    warm = result["warm"]
    if warm["channel"] != case.channel:
        raise UsageError(
            f"{case.workers} workers: expected lanes of so many queues (sls deploy --param ranks={case.workers}),"
            f" the run went by {warm['channel']}"
        )
    how = f"{ON_CLOUD} by {warm['channel']}"
    return Measured(calls_from_json(warm["calls"]), result["right"], result["compared"], warm["seconds"], how, {})
