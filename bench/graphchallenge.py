"""One run of the Graph Challenge network on the deployed service, beside what the paper's authors measured.

The model is registered under a name of its own and removed afterwards. Their figures are read from a CSV of their
published results where one is given or found in ../shared.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client.api import Client
from client.cloud import ROOT
from client.errors import UsageError
from client.progress import busy
from zoo.graphchallenge import GraphChallenge

SHARED = ROOT.parent / "shared" / "data"
# What carries tensors, whatever the channel.
SENDS = ("sns:Publish", "sns:PublishBatch", "sqs:SendMessage", "sqs:SendMessageBatch", "s3:PutObject")
# Their count of a call by our name of the operation.
THEIR_CALLS = {
    "sns:Publish": "sns_publish_calls",
    "sqs:ReceiveMessage": "sqs_polls",
    "s3:PutObject": "s3_puts",
    "s3:GetObject": "s3_gets",
    "s3:ListObjectsV2": "s3_lists",
}


@dataclass(frozen=True)
class BenchCase:
    """What to run.

    data:      folder of the official files.
    published: CSV of the authors' results.
    checked:   how many samples are held against the truth, which takes long to compute; None = all.
    control:   the network without structure.
    """

    neurons: int
    workers: int
    channel: str
    strategy: str
    layers: int = 120
    samples: int = 10_000
    data: Path | None = None
    published: Path | None = None
    checked: int | None = None
    control: bool = False

    @property
    def model(self) -> str:
        """The name it is registered under while it runs."""
        return f"bench-gc-{self.neurons}-{self.layers}-{self.strategy}-{self.workers}".replace("=", "").replace(
            ",", "-"
        )


def official_data() -> Path | None:
    """The folder of official files beside this checkout, if there is one."""
    folder = SHARED / "graphchallenge"
    return folder if folder.is_dir() else None


def run_case(client: Client, case: BenchCase, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Register, run twice (cold, warm), compare with the truth, remove. request: further fields of the requests.

    Raises:
        ClientError, ZooError, CompileError: one line.
    """
    card, fields = GraphChallenge(case.neurons), {"channel": case.channel, **(request or {})}
    given: dict[str, object] = {"layers": case.layers, **({"data": str(case.data)} if case.data else {})}
    given |= {"control": True} if case.control else {}
    options = card.parse(given)
    inputs = card.inputs(options, case.samples)
    examples = card.examples(options, case.samples if case.checked is None else case.checked)
    with busy(f"compiling for {case.workers} workers"):
        client.register(card.name, name=case.model, strategy=case.strategy, workers=case.workers, options=given)
    try:
        with busy(f"{case.samples} samples over {case.channel}, cold"):
            cold = client.infer(case.model, inputs, **fields)
        with busy(f"{case.samples} samples over {case.channel}, warm"):
            warm = client.infer(case.model, inputs, **fields)
    finally:
        client.remove(case.model)
    verdicts = [
        card.check({"y": answer.outputs["y"][: len(examples.inputs["x"])]}, examples) for answer in (cold, warm)
    ]
    return {
        "case": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(case).items()},
        "right": min(verdict.right for verdict in verdicts),
        "compared": verdicts[0].total,
        "verdict": verdicts[0].text,
        "cold": cold.figures,
        "warm": warm.figures,
        "bytes_sent": _bytes_sent(warm.figures["calls"]),
        "live_samples": _live_samples(warm.figures),
        "published": published_row(case),
    }


def published_row(case: BenchCase) -> dict[str, str] | None:
    """The authors' row for the same network, samples, workers and channel; None where there is none at hand.

    Raises:
        UsageError: the CSV that was given cannot be read.
    """
    path = case.published or SHARED / "fsd-results" / "fsd-results.csv"
    if not path.is_file():
        if case.published:
            raise UsageError(f"--published {path}: no such file")
        return None
    wanted = {
        "channel": case.channel,
        "neurons": str(case.neurons),
        "workers": str(case.workers),
        "layers": str(case.layers),
        "samples": str(case.samples),
    }
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]
    return next((row for row in rows if row["partition"] == "hypergraph"), None)


def _bytes_sent(calls: dict[str, dict[str, int]]) -> int:
    """Bytes as AWS counts them: bodies and attributes of each publish once, and objects written."""
    return sum(calls.get(name, {}).get("bytes", 0) for name in SENDS)


def _live_samples(figures: dict[str, Any]) -> list[int]:
    """By layer, the most samples alive on one rank."""
    by_rank = [rank["live_samples"] for rank in figures["ranks"] if rank["live_samples"]]
    return [max(layer) for layer in zip(*by_rank, strict=False)]
