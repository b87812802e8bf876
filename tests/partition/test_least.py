"""No run sends less than its bundle says that it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.store import FolderStore
from client.verify_run import run_ranks
from engine.program import Exchange, Program
from partition import Options
from partition.compile import Target, emit_bundle, lay_out, prepare
from partition.least import Least, least_of
from tests.partition import models
from tests.partition.test_traffic import DIVISIONS


@pytest.mark.parametrize(("strategy", "workers"), DIVISIONS)
@pytest.mark.parametrize("name", models.DENSE)
def test_the_least_is_no_more_than_what_the_smallest_request_sends(
    name: str, strategy: str, workers: int, tmp_path: Path
) -> None:
    proto = models.DENSE[name]()
    prepared = prepare(proto, Options())
    chosen, layout = lay_out(prepared, strategy, workers, Options())
    compiled = emit_bundle(prepared, layout, Target("test", chosen, workers), tmp_path)
    store = FolderStore(tmp_path / "store")
    compiled.write(store)
    run = run_ranks(store, compiled.manifest, models.random_inputs(proto, 1), deadline_s=30)
    made = sum(record.sent_messages > 0 for machine in run.machines for record in machine.trace)
    assert (0 < int(compiled.manifest.info.get("least_sends", 0)) <= made) or made == 0


def exchange(step: int, kind: str, group: tuple[int, ...], root: int = 0) -> Exchange:
    return Exchange(step, kind, "x", "x", group, root=root)  # type: ignore[arg-type]


def test_only_what_is_sure_counts() -> None:
    everybody, pair = (0, 1, 2), (1, 2)
    parts = (
        exchange(1, "broadcast", everybody),
        exchange(2, "all_gather", everybody),
        exchange(3, "all_reduce", everybody),
        exchange(4, "all_to_all", pair),
        exchange(5, "rows", everybody),
        exchange(6, "all_reduce", (1,)),
        exchange(7, "gather", everybody),
        exchange(8, "send", (), root=2),
    )
    assert least_of(Program(0, 3, (*parts[:3], *parts[4:5], *parts[6:7]))) == Least(sends=3, meetings=2)
    assert least_of(Program(1, 3, parts)) == Least(sends=5, meetings=2)
