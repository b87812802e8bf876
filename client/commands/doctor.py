"""`fsd doctor`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from client.doctor import examine
from client.target import find_stage


def add_commands(commands: Any) -> None:
    """Add `doctor`."""
    doctor = commands.add_parser("doctor", help="look the deployed stage over: what is wrong, and what to do")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    found = examine(find_stage())
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print("\n".join([*_fact_lines(found.facts), *(f"{one.level}: {one.what}: {one.do}" for one in found.findings)]))
    return 0 if found.healthy else 1


def _fact_lines(facts: Mapping[str, Any]) -> list[str]:
    if "quota" not in facts:
        return [f"stage {facts['stage']}"]
    largest, versions, channel = facts["largest_workers"], facts["versions"]["functions"], facts["channel"]
    lanes = (
        f"{lane['lane']} {lane['state']}" + f" by {lane['run_id']}" * bool(lane["run_id"]) for lane in facts["lanes"]
    )
    return [
        f"stage {facts['stage']}: {facts['runtime']}, {facts['memory_mb']} MB, "
        + ", ".join(f"{name} {number or '?'}" for name, number in versions.items()),
        f"quota: {facts['quota']} functions at once",
        f"largest P: {largest['queue']} by queue, {largest['object']} by object",
        f"lanes: {', '.join(lanes)}; {facts['line']} runs in line",
        f"channel: {channel['age_s']:.0f} s old, filters trusted after {channel['filter_delay_s']:.0f} s",
        f"objects are exchanged by {facts['express_bucket'] or facts['bucket']['name']}",
        "bucket: " + ", ".join(f"{name} {value}" for name, value in facts["bucket"].items()),
        f"dead letters: {facts['dead_letters']}",
    ]
