"""The paper's table: both sides counted by one set of rules, runs kept, real channels over counted services."""

from __future__ import annotations

import csv
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore

import numpy as np
import pytest

from bench.inprocess import in_files, run_counted
from bench.paper import UNFINISHED, Case, Kept, Measured, Published, compared, floor_usd, read_published
from bench.paper_cloud import available_bytes
from bench.paper_report import as_csv, geometric_mean, joined, markdown, read_lines, summary, write_results
from bench.paper_run import Setting, _in_process
from bench.services import Lane, MemoryS3, MemorySns, MemorySqs
from bench.turns import TurnChannel
from bundle.store import FolderStore
from channels import ChannelConfig, MemoryChannel, MemoryHub
from channels.tags import Tag
from channels.tensors import Tensor
from client.cli import main
from client.errors import UsageError
from costs import CallCount, Meter
from partition import compile_to_store
from zoo.graphchallenge import Options, graphchallenge_1024
from zoo.graphchallenge.reference import run as by_numpy

HEAD = (
    "channel,partition,neurons,layers,samples,workers,sns_publish_calls,sqs_polls,s3_puts,s3_gets,s3_lists,bytes_sent"
)
QUEUE = Published("queue", "hypergraph", 1024, 8, 1102, 4318, 0, 0, 0, 104_131_260)
OBJECT = Published("object", "hypergraph", 1024, 8, 0, 0, 6452, 6450, 1615, 240_694_300)


def published(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.csv"
    rows = (
        "queue,hypergraph,1024,120,10000,8,1102,4318,,,,104131260",
        "object,hypergraph,1024,120,10000,8,,,6452,6450,1615,240694300",
        "queue,hypergraph,1024,30,10000,8,1,1,,,,1",
    )
    path.write_text("\n".join((HEAD, *rows)) + "\n")
    return path


def ours(case: Case) -> Measured:
    calls = {
        "queue": {"sns:Publish": CallCount(500, 510, 1_000_000), "sqs:ReceiveMessage": CallCount(700, 720, 5_000_000)},
        "object": {"s3:PutObject": CallCount(490, 490, 1_000_000), "s3:GetObject": CallCount(4000, 4000, 4_000_000)},
    }
    return Measured(calls[case.channel], 10_000, 10_000, 5.0, "a test", {})


def test_theirs_are_priced_by_hand() -> None:
    assert QUEUE.usd == pytest.approx(104_131_260 / 65_536 * 5e-7 + 4318 * 4e-7)  # more 64 KiB than publishes
    assert OBJECT.usd == pytest.approx((6452 + 1615) * 5e-6 + 6450 * 4e-7)


@pytest.mark.parametrize(
    ("workers", "hops_usd"),
    [(8, 5e-7 + 2 * 4e-7), (20, 5e-7 + 4 * 4e-7), (42, 2 * (5e-7 + 2 * 4e-7)), (62, 2 * (5e-7 + 2 * 4e-7))],
)
def test_the_floor_is_the_cheaper_of_one_hop_and_two(workers: int, hops_usd: float) -> None:
    assert floor_usd("queue", workers, 0) == pytest.approx(workers * 119 * hops_usd)
    assert floor_usd("queue", workers, 65_536) - floor_usd("queue", workers, 0) == pytest.approx(9e-7)


def test_a_line_has_both_sides_by_the_same_rules() -> None:
    line = compared(QUEUE, ours(Case("queue", 1024, 8)))
    assert line["bytes_ours"] == 1_000_000
    assert line["usd_ours"] == pytest.approx(510 * 5e-7 + 720 * 4e-7)
    assert {"channel", "neurons", "workers", "bytes_theirs", "usd_theirs", "usd_floor", "how"} <= set(line)


def test_rows_of_other_sizes_are_left_out_and_no_table_is_one_line(tmp_path: Path) -> None:
    assert read_published(published(tmp_path)) == [QUEUE, OBJECT]
    with pytest.raises(UsageError, match="expected the authors' table"):
        read_published(tmp_path / "none.csv")


def test_runs_are_kept_as_they_were(tmp_path: Path) -> None:
    kept, case = Kept(tmp_path / "kept"), Case("queue", 1024, 8)
    assert kept.get(case) is None
    kept.put(case, ours(case))
    assert kept.get(case) == ours(case)
    assert kept.get(Case("queue", 1024, 8, control=True)) is None


def test_kept_runs_make_the_table_without_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for channel in ("queue", "object"):
        Kept(tmp_path / "kept").put(Case(channel, 1024, 8), ours(Case(channel, 1024, 8)))
    given = ["--published", str(published(tmp_path)), "--kept", str(tmp_path / "kept"), "--neurons", "1024"]
    assert main(["bench", "paper", *given, "--no-run", "--workers", "9"]) == 0
    assert "0 rows" not in capsys.readouterr().out
    assert main(["bench", "paper", *given, "--results", str(tmp_path / "out"), "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [(line["channel"], line["neurons"], line["workers"]) for line in lines] == [
        ("queue", 1024, 8),
        ("object", 1024, 8),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["paper.csv", "paper.md", "paper.svg"]


def test_the_table_is_the_same_in_every_form(tmp_path: Path) -> None:
    lines = [compared(row, ours(Case(row.channel, 1024, 8))) for row in (QUEUE, OBJECT)]
    rows = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert [float(row["usd_ours"]) for row in rows] == [line["usd_ours"] for line in lines]
    assert markdown(lines).count("\n| ") == 3  # below the head: a rule and two rows
    assert summary(lines)["bytes_ratio_max"] == lines[0]["bytes_ratio"]
    assert "<svg" in write_results(lines, tmp_path, "paper")[2].read_text()
    assert geometric_mean([0.1, 0.001]) == pytest.approx(0.01)


def test_nothing_is_said_of_a_channel_that_has_no_rows() -> None:
    page = markdown([compared(QUEUE, ours(Case("queue", 1024, 8)))])
    assert "through the queue" in page
    assert "through objects" not in page
    assert "nan" not in page
    assert "- 1 row: " in page


def test_rows_that_were_not_measured_here_stay_in_the_table(tmp_path: Path) -> None:
    lines = [compared(row, ours(Case(row.channel, 1024, 8))) for row in (QUEUE, OBJECT)]
    write_results(lines, tmp_path, "paper")
    former = read_lines(tmp_path / "paper.csv")
    assert former == lines
    again = {**lines[0], "bytes_ours": 7}
    assert joined([again], former) == [again, lines[1]]
    assert read_lines(tmp_path / "none.csv") == []


def test_a_run_that_they_did_not_complete_is_told_apart(tmp_path: Path) -> None:
    alone = compared(UNFINISHED[0], ours(Case("queue", 65536, 8)))
    lines = [compared(QUEUE, ours(Case("queue", 1024, 8))), alone]
    text = markdown(lines)
    assert text.count("\n| ") == 2
    assert "N = 65,536, P = 8, queue: theirs did not complete. Ours: 1,000,000 bytes" in text
    paths = write_results(lines, tmp_path, "paper")
    assert read_lines(paths[0]) == lines
    assert "65536" not in paths[2].read_text()


def test_memory_that_is_available_is_read_from_linux() -> None:
    assert available_bytes("MemTotal:  100 kB\nMemAvailable:     20 kB\n") == 20 * 1024
    assert available_bytes("") == 0


@pytest.mark.parametrize("channel", ["queue", "object"])
def test_real_channels_run_over_counted_services(channel: str, tmp_path: Path) -> None:
    options = Options(layers=8)
    store = FolderStore(tmp_path / "store")
    manifest = compile_to_store(store, graphchallenge_1024.build(options, tmp_path), "row", 3)
    inputs = graphchallenge_1024.inputs(options, 40)
    run = run_counted(store, manifest, inputs, channel)
    np.testing.assert_allclose(run.outputs["y"], by_numpy(graphchallenge_1024.network(options), inputs["x"]), atol=1e-3)
    exchanges = int(manifest.info["sparse_exchanges"]) + 2  # in and out
    sends = sum(
        run.calls[name].requests for name in run.calls if name in ("sns:Publish", "sns:PublishBatch", "s3:PutObject")
    )
    assert exchanges <= sends <= 3 * exchanges + 3 * 2  # at most one of each rank; and hello, assignment, report
    assert all(count.bytes >= 0 for count in run.calls.values())


def test_a_case_is_measured_on_both_channels_from_one_bundle(tmp_path: Path) -> None:
    cases = [Case(channel, 1024, 2, layers=3, samples=20) for channel in ("queue", "object")]
    found = dict(_in_process(cases, Setting(Kept(tmp_path), None)))
    assert [measured.right for measured in found.values()] == [20, 20]
    assert list(found) == cases


def test_control_networks_run_too(tmp_path: Path) -> None:
    case = Case("queue", 1024, 2, layers=2, samples=10, control=True)
    assert dict(_in_process([case], Setting(Kept(tmp_path), None)))[case].right == 10


def test_meter_counts_what_the_services_were_asked() -> None:
    meter = Meter()
    lane = Lane(("a", "b"))
    slot = {"slot": {"DataType": "String.Array", "StringValue": '["0","1"]'}}
    MemorySns(lane, meter).publish(Message="x" * 65_500, MessageAttributes=slot)
    got = MemorySqs(lane, meter).receive_message(QueueUrl="b", MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    assert got["Messages"][0]["Body"] == "x" * 65_500
    s3 = MemoryS3({}, meter)
    s3.put_object(Key="k", Body=b"0123456789")
    assert s3.get_object(Key="k", Range="bytes=2-4")["Body"].read() == b"234"
    counts = {name: (count.units, count.bytes) for name, count in meter.snapshot().items()}
    attribute = len("slot") + len("String.Array") + len('["0","1"]')
    assert counts["sns:Publish"] == counts["sqs:ReceiveMessage"] == (1, 65_500 + attribute)
    assert counts["s3:PutObject"] == (1, 10)
    assert counts["s3:GetObject"] == (1, 3)


def test_inputs_in_files_are_the_same(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    mapped = in_files({"x": array}, tmp_path)["x"]
    np.testing.assert_array_equal(mapped, array)
    assert isinstance(mapped, np.memmap)


def test_a_rank_gives_its_turn_up_while_it_waits() -> None:
    hub, deadline = MemoryHub(2), time.monotonic() + 30
    ends = [MemoryChannel(ChannelConfig("0" * 32, 0, 0, slot, 2, b"k" * 16, deadline), hub) for slot in range(2)]
    turns = Semaphore(1)
    first = TurnChannel(ends[0], turns)

    def waits() -> Tensor:
        with turns:
            return first.recv_any([(1, Tag(5))])[2]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waits)
        assert turns.acquire(timeout=20), "held while it waits"
        ends[1].send(0, Tag(5), np.ones(3))
        with pytest.raises(TimeoutError):
            waiting.result(0.2)  # it is there, but not its turn
        turns.release()
        np.testing.assert_array_equal(waiting.result(), np.ones(3))
    assert turns.acquire(blocking=False)
