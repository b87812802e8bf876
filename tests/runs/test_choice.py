"""Which channel a run takes: what is best for its sizes under `auto`, and what a lane's queues can carry."""

from __future__ import annotations

from dataclasses import replace
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


def _service() -> Service:
    return Service(SETTINGS, cast(Clients, None), Meter(), ShardCache(1))


@pytest.mark.parametrize("channel", ["hybrid", "queue"])
def test_a_young_stack_has_its_queues_nevertheless(channel: str) -> None:
    assert choose_channel(_service(), channel, 16) == channel


def test_more_ranks_than_queues_go_by_object() -> None:
    assert choose_channel(_service(), "queue", 17) == "object"


def test_object_stays_object() -> None:
    assert choose_channel(_service(), "object", 2) == "object"


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


def test_auto_goes_by_the_prices_of_the_store_that_the_stage_has(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    for samples in (64, 500, 2_000, 10_000):
        options = Options(sizes={"batch": samples})
        _, layout = lay_out(prepare(models.digits_mlp(), options), "row", 4, options)
        taken = wanted_channel(_request(channel="auto"), manifest, samples * 64 * 4, 3008, express=True)
        usd = {name: forecast(layout, name, express=True).usd for name in CHANNELS}
        assert usd[taken] <= 1.1 * min(usd.values()), samples
    plain, express = (
        wanted_channel(_request(channel="auto"), manifest, 500 * 64 * 4, 3008, express=zone) for zone in (False, True)
    )
    assert plain == "queue" != express


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
