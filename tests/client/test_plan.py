"""`fsd plan`: it says what a run then does, and costs more where more is sent."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from client.cli import main
from client.division import Division
from client.plan import plan_lines, plan_model
from client.verify import verify
from tests.partition import models

KEYS = {
    "strategy",
    "workers",
    "model_weight_bytes",
    "inputs",
    "ranks",
    "parts",
    "exchanges",
    "exchanged_bytes",
    "exact",
    "merged",
    "channels",
    "auto_channel",
}


def saved(proto: onnx.ModelProto, folder: Path) -> Path:
    onnx.save_model(proto, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize("strategy", ["batch", "row", "column", "pipeline", "auto"])
def test_what_is_planned_is_what_happens(strategy: str, tmp_path: Path) -> None:
    proto = models.digits_mlp()
    plan = plan_model(saved(proto, tmp_path), Division(strategy, 3, sizes={"batch": "5"}))
    report = verify(proto, models.random_inputs(proto, 5), 3, strategy)
    assert set(plan) == KEYS
    assert (plan["strategy"], plan["workers"], plan["exact"]) == (report.strategy, 3, True)
    assert plan["exchanged_bytes"] == report.exchanged_bytes == sum(one["bytes"] for one in plan["exchanges"])
    assert [rank["weight_bytes"] for rank in plan["ranks"]] == [rank.weight_bytes for rank in report.ranks]
    assert plan["model_weight_bytes"] == report.model_weight_bytes


def test_every_op_is_placed_once(tmp_path: Path) -> None:
    plan = plan_model(saved(models.mobile_cnn(), tmp_path), Division("stage=2,row=2"))
    assert [part["groups"] for part in plan["parts"]] == [[[0, 1]], [[2, 3]]]
    names = [op["op"] for part in plan["parts"] for op in part["ops"]]
    assert len(names) == len(set(names))
    assert sum(name.startswith("Conv(") for name in names) == 3


def test_more_bytes_cost_more(tmp_path: Path) -> None:
    path = saved(models.digits_mlp(), tmp_path)
    small, large = (plan_model(path, Division("row", 4, sizes={"batch": n})) for n in ("1", "4000"))
    for channel in ("hybrid", "object", "queue"):
        assert 0 < small["channels"][channel]["usd"]["total"] < large["channels"][channel]["usd"]["total"]
        assert small["channels"][channel]["seconds"] < large["channels"][channel]["seconds"]
    assert "sns:Publish" in small["channels"]["queue"]["calls"]
    assert "sns:Publish" not in small["channels"]["object"]["calls"]


def test_one_zone_makes_objects_cheaper_and_leaves_the_queue_alone(tmp_path: Path) -> None:
    path = saved(models.digits_mlp(), tmp_path)
    plain, express = (plan_model(path, Division("row", 4), express=zone)["channels"] for zone in (False, True))
    assert plain["queue"] == express["queue"]
    assert express["object"]["usd"]["s3"] < plain["object"]["usd"]["s3"]
    assert "s3express:PutObject" in express["object"]["calls"]


def test_command_prints_json_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save_model(models.digits_mlp(), tmp_path / "m.onnx")
    assert main(["plan", str(tmp_path / "m.onnx"), "--strategy", "batch=2,row=2", "--set", "batch=6", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["strategy"], plan["workers"], plan["inputs"]) == ("batch=2,row=2", 4, {"x": [6, 64]})
    assert main(["plan", str(tmp_path / "m.onnx"), "--workers", "3", "--strategy", "row"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "row on 3 workers, for inputs x [64, 64]"
    assert lines == plan_lines(plan_model(tmp_path / "m.onnx", Division("row", 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "2", "--memory-mb", "0.001"], "the least that is possible is"),
        (["--strategy", "batch=2,row=2", "--workers", "3"], "strategy batch=2,row=2: expected 4 workers, got 3"),
        (["--set", "batch=x"], "--set batch: expected a size >= 0, got 'x'"),
        (["--set", "n=3"], "sizes: expected dimensions of inputs (batch), got 'n'"),
        (["--set", "batch"], "--set: expected NAME=VALUE, got 'batch'"),
        (["--weight-share", "-1"], "--weight-share: expected a number >= 0, got -1.0"),
    ],
)
def test_what_cannot_be_gets_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save_model(models.digits_mlp(), tmp_path / "m.onnx")
    assert main(["plan", str(tmp_path / "m.onnx"), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
