"""The 36 runs that the paper's authors published, and ours with the same network, samples, workers and channel.

Each of ours is measured once and kept, so that the table can be made in several sittings. What is compared is
communication: calls as billed, bytes as billed, USD by one set of list prices for both.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client.errors import UsageError
from costs import PRICES, CallCount, calls_from_json, calls_to_json, make_bill
from costs.limits import SNS_BILLING_CHUNK, SQS_BATCH

LAYERS, SAMPLES = 120, 10_000
_PUBLISH, _RECEIVE, _PUT, _GET = (PRICES[name].usd for name in ("sns.request", "sqs.request", "s3.put", "s3.get"))
_SERVICES = {"queue": ("sns", "sqs"), "object": ("s3",)}
_SENDS = ("sns:Publish", "sns:PublishBatch", "sqs:SendMessage", "sqs:SendMessageBatch", "s3:PutObject")


@dataclass(frozen=True)
class Published:
    """One row of the authors' CSV: what AWS billed them, or counted for them; 0 where the channel has no such call.

    partition: how they divided rows: hypergraph or random.
    """

    channel: str
    partition: str
    neurons: int
    workers: int
    publishes: int
    polls: int
    puts: int
    gets: int
    lists: int
    sent_bytes: int

    @property
    def usd(self) -> float:
        """Communication: a publish for each 64 KiB at least; no deletes, no bytes from SNS to SQS."""
        publishes = max(self.publishes, self.sent_bytes / SNS_BILLING_CHUNK.value) if self.publishes else 0
        return publishes * _PUBLISH + self.polls * _RECEIVE + (self.puts + self.lists) * _PUT + self.gets * _GET


UNFINISHED = (Published("queue", "hypergraph", 65536, 8, 0, 0, 0, 0, 0, 0),)
"""Runs that the authors' system did not complete: without figures of theirs, so not among the rows of the table."""


@dataclass(frozen=True)
class Measured:
    """One run of ours.

    calls:  of all ranks, as a meter counts them.
    right:  samples right, of `checked`.
    how:    where it ran.
    info:   what the compiler says of the ownership.
    """

    calls: Mapping[str, CallCount]
    right: int
    checked: int
    seconds: float
    how: str
    info: Mapping[str, bool | int | float | str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "calls": calls_to_json(self.calls)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """The inverse of to_json."""
        return cls(**{**data, "calls": calls_from_json(data["calls"])})


@dataclass(frozen=True)
class Case:
    """What is run: a network, how many ranks, over which channel; control = the network without structure."""

    channel: str
    neurons: int
    workers: int
    layers: int = LAYERS
    samples: int = SAMPLES
    control: bool = False

    @property
    def name(self) -> str:
        """For a file."""
        kind = "control" if self.control else "official"
        return f"{kind}-{self.neurons}-{self.layers}x{self.samples}-{self.channel}-{self.workers}"


class Kept:
    """Measured runs, a JSON file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, case: Case) -> Measured | None:
        """The run of a case, if it was measured."""
        path = self._path(case)
        return Measured.from_json(json.loads(path.read_text())) if path.is_file() else None

    def put(self, case: Case, measured: Measured) -> None:
        """Keep a run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path(case).write_text(json.dumps(measured.to_json(), indent=1) + "\n")

    def _path(self, case: Case) -> Path:
        return self._folder / f"{case.name}.json"


def read_published(path: Path) -> list[Published]:
    """The authors' rows for 120 layers and 10,000 samples.

    Raises:
        UsageError: no such file, or no such table.
    """
    try:
        with path.open(newline="") as file:
            rows = [
                row for row in csv.DictReader(file) if (row["layers"], row["samples"]) == (str(LAYERS), str(SAMPLES))
            ]
        return [_published(row) for row in rows]
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"--published {path}: expected the authors' table of results, got {error!r}") from error


def _published(row: Mapping[str, str]) -> Published:
    names = ("sns_publish_calls", "sqs_polls", "s3_puts", "s3_gets", "s3_lists", "bytes_sent")
    numbers = (int(row[name] or 0) for name in names)
    return Published(row["channel"], row["partition"], int(row["neurons"]), int(row["workers"]), *numbers)


def compared(row: Published, ours: Measured) -> dict[str, Any]:
    """One line of the table: ours beside theirs, and what the services' rules make the least for the queue."""
    calls = {name: count for name, count in ours.calls.items() if name.partition(":")[0] in _SERVICES[row.channel]}
    sent_bytes = sum(count.bytes for name, count in calls.items() if name in _SENDS)
    usd, floor = make_bill(calls, ()).total, floor_usd(row.channel, row.workers, sent_bytes)
    return {
        "channel": row.channel,
        "partition": row.partition,
        "neurons": row.neurons,
        "workers": row.workers,
        "bytes_ours": sent_bytes,
        "bytes_theirs": row.sent_bytes,
        "bytes_ratio": _ratio(sent_bytes, row.sent_bytes),
        "usd_ours": usd,
        "usd_theirs": row.usd,
        "usd_ratio": _ratio(usd, row.usd),
        "usd_floor": floor,
        "calls_ours": {name: count.units for name, count in calls.items()},
        "calls_theirs": _their_calls(row),
        "right": f"{ours.right} of {ours.checked}",
        "how": ours.how,
    }


def _ratio(ours: float, theirs: float) -> float | None:
    """None where they have no figure."""
    return ours / theirs if theirs else None


def _their_calls(row: Published) -> dict[str, int]:
    names = {
        "sns:Publish": row.publishes,
        "sqs:ReceiveMessage": row.polls,
        "s3:PutObject": row.puts,
        "s3:GetObject": row.gets,
        "s3:ListObjectsV2": row.lists,
    }
    return {name: count for name, count in names.items() if count}


def floor_usd(channel: str, workers: int, sent_bytes: int) -> float:
    """What an exchange before every layer but the first takes at least, without the bytes' own requests being saved.

    queue:  what the bytes need, and for each rank and boundary the cheaper of one hop (a publish, a receive and a
            delete for every ten of the others) and two hops (two of each).
    object: a PUT and a GET for each rank and boundary; bytes are free.
    """
    ranks = workers * (LAYERS - 1)
    if channel == "object":
        return ranks * (_PUT + _GET)
    tens = -(-(workers - 1) // SQS_BATCH.value)
    hops = min(_PUBLISH + 2 * tens * _RECEIVE, 2 * (_PUBLISH + 2 * _RECEIVE))
    return ranks * hops + sent_bytes / SNS_BILLING_CHUNK.value * (_PUBLISH + _RECEIVE)
