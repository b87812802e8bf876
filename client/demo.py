"""`make demo`: the whole path on this machine, from an empty cloud to a bill.

Stages: start an embedded cloud of its own, `sls deploy`, register two models, `sls invoke -f infer` each of them cold
and warm, print predictions against truth and where time and money went, stop what was started.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from client.api import Answer, Client
from client.cloud import ROOT, CloudState, EmbeddedCloud, client_environment
from client.errors import CloudError
from client.progress import busy
from client.tables import answer_lines
from client.target import find_stage
from runs.values import dump_npz
from zoo.registry import get_card


@dataclass(frozen=True)
class Show:
    """One model of the demo: how it is split, and how many examples it gets."""

    card: str
    strategy: str
    workers: int
    channel: str
    examples: int
    options: Mapping[str, object] = field(default_factory=dict)


SHOWS = (
    Show("digits-mlp", "column", 3, "object", 599),
    Show("graphchallenge-1024", "row", 4, "queue", 2_000, {"layers": 120}),
)


def run_demo() -> bool:
    """Whether every prediction was as good as it should be.

    Raises:
        CloudError: a stage of it failed; everything that was started is stopped.
    """
    console = Console(highlight=False, soft_wrap=True)
    cloud = EmbeddedCloud(ROOT / ".fsd" / "demo")
    try:
        with busy("starting the embedded cloud"):
            state = cloud.up()
        console.print(f"embedded cloud: {state.endpoint}")
        with busy("sls deploy"):
            _sls(state, "deploy")
        console.print("sls deploy: done")
        client = Client(find_stage(cloud=cloud, environment={}))
        shown = [_show(console, client, state, show) for show in SHOWS]
        return all(shown)
    finally:
        cloud.down()
        console.print("embedded cloud: stopped")


def _show(console: Console, client: Client, state: CloudState, show: Show) -> bool:
    card = get_card(show.card)
    options = card.parse(show.options)
    examples = card.examples(options, show.examples)
    console.rule(f"{show.card}: {show.strategy} over {show.workers} workers, {show.channel} channel")
    with busy(f"fsd register {show.card}"):
        client.register(card.name, strategy=show.strategy, workers=show.workers, options=show.options)
    good = True
    for start in ("cold", "warm"):
        event = {
            "model": card.name,
            "channel": show.channel,
            "inputs_npz": base64.b64encode(dump_npz(examples.inputs)).decode(),
            "encoding": "npz",
        }
        with busy(f"sls invoke -f infer ({start})"):
            answer = _invoke(client, state, event)
        verdict = card.check(answer.outputs, examples)
        good = good and verdict.ok
        console.print(f"[bold]{start}[/bold]: {verdict.text}")
        console.print("\n".join(answer_lines(answer.figures)), markup=False)
    return good


def _invoke(client: Client, state: CloudState, event: Mapping[str, Any]) -> Answer:
    with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
        path = Path(folder) / "event.json"
        path.write_text(json.dumps(event))
        printed = _sls(state, "invoke", "-f", "infer", "-p", str(path))
    return client.answer(json.loads(printed))


def _sls(state: CloudState, *words: str) -> str:
    environment = {**os.environ, **client_environment(state)}
    done = subprocess.run(
        [str(ROOT / "node_modules" / ".bin" / "sls"), *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CloudError(f"sls {words[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
