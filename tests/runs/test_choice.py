"""Which channel a run takes: what is best for its sizes under `auto`, and what a lane's queues can carry."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from bundle.manifest import Manifest
from costs.meter import Meter
from costs.sized import INFO_KEY, Estimate
from engine.cache import ShardCache
from partition import compile_model
from partition.compile import Options, lay_out, prepare
from partition.forecast import forecast
from runs.choice import best_channel, choose_channel, wanted_channel
from runs.errors import BadRequest
from runs.request import CHANNELS, parse_request
from runs.service import Clients, Service
from runs.settings import Settings
from tests.partition import models

SETTINGS = Settings("s", "b", 1, 16, "arn:topic", "http://queue", "infer", "worker", filter_delay_s=900)


@dataclass
class Queues:
    """SQS as far as a queue's age goes."""

    age_s: float
    asked: list[str] = field(default_factory=list)

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:
        self.asked.append(QueueUrl)
        assert AttributeNames == ["CreatedTimestamp"]
        return {"Attributes": {"CreatedTimestamp": str(int(time.time() - self.age_s))}}


def _service(queues: Queues, settings: Settings = SETTINGS) -> Service:
    clients = cast(Clients, type("C", (), {"sqs": queues}))
    return Service(settings, clients, Meter(), ShardCache(1))


@pytest.mark.parametrize(("age_s", "channel"), [(10, "object"), (890, "object"), (1000, "queue")])
def test_a_young_stacks_queues_are_not_trusted_to_filter(age_s: float, channel: str) -> None:
    queues = Queues(age_s)
    service = _service(queues)
    assert [choose_channel(service, "queue", 4) for _ in range(3)] == [channel] * 3
    assert queues.asked == ["http://queue-lane-0-slot-0"]


def test_without_a_delay_nobody_asks() -> None:
    queues = Queues(0)
    assert choose_channel(_service(queues, replace(SETTINGS, filter_delay_s=0)), "queue", 16) == "queue"
    assert queues.asked == []


def test_more_ranks_than_queues_go_by_object() -> None:
    assert choose_channel(_service(Queues(5000)), "queue", 17) == "object"


def test_object_stays_object() -> None:
    assert choose_channel(_service(Queues(5000)), "object", 2) == "object"


def _request(**fields: object) -> Any:
    return parse_request({"model": "m", "inputs_npz": "x", **fields})


def _manifest(folder: Path, strategy: str = "row", workers: int = 4) -> Manifest:
    return compile_model(models.digits_mlp(), strategy, workers, folder).manifest


def test_auto_takes_what_the_plan_for_the_same_sizes_finds_cheapest(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    taken = {
        n: wanted_channel(_request(channel="auto"), manifest, n * 64 * 4, 3008) for n in (1, 64, 500, 10_000, 50_000)
    }
    for samples, channel in taken.items():
        options = Options(sizes={"batch": samples})
        _, layout = lay_out(prepare(models.digits_mlp(), options), "row", 4, options)
        usd = {name: forecast(layout, name).usd for name in CHANNELS}
        assert usd[channel] <= 1.1 * min(usd.values()), samples
    assert taken[1] == "queue"
    assert taken[50_000] != "queue"


def test_the_user_goes_before_the_prediction(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    for channel in CHANNELS:
        assert wanted_channel(_request(channel=channel), manifest, 1 << 30, 3008) == channel
    assert wanted_channel(_request(), manifest, 1 << 30, 3008) == "queue"


def test_a_bundle_that_predicts_nothing_goes_by_queue(tmp_path: Path) -> None:
    alone = _manifest(tmp_path, "serial", 1)
    assert INFO_KEY not in alone.info
    for info in ({}, {INFO_KEY: "["}, {INFO_KEY: '[["carrier pigeon",1,1.0,1.0,1.0]]'}):
        assert wanted_channel(_request(channel="auto"), replace(alone, info=info), 100, 3008) == "queue"


def test_the_cheapest_and_the_fastest_channel_may_differ() -> None:
    found = {"queue": Estimate(1.0, 2e-5), "object": Estimate(2.0, 1e-5), "hybrid": Estimate(1.0, 2e-5)}
    assert (best_channel(found, "usd"), best_channel(found, "seconds")) == ("object", "queue")


@pytest.mark.parametrize("fields", [{"channel": "automatic"}, {"prefer": "bytes"}, {"prefer": 1}])
def test_unknown_words_are_refused_by_name(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match=r"unknown .* known: "):
        _request(**fields)


def test_a_request_keeps_its_choice_when_it_is_stored() -> None:
    request = _request(channel="auto", prefer="seconds")
    assert parse_request(request.to_json()) == request
