"""The folder that the harness and the functions share: plans go in, notes of what was done come out.

The embedded cloud runs functions as processes of this machine; so a folder will do, and no fault can lose a note.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.faults import Fault
from chaos.plan import dump_plan, load_plan

_NOTES = "notes.jsonl"


@dataclass(frozen=True)
class Desk:
    """Plans and notes of one series of runs."""

    folder: Path

    def give(self, run_id: str, faults: tuple[Fault, ...]) -> None:
        """Leave a run's plan for the functions."""
        (self.folder / f"{run_id}.json").write_text(dump_plan(faults))

    def plan(self, run_id: str) -> tuple[Fault, ...]:
        """A run's plan; empty where there is none.

        Raises:
            PlanError: it cannot be read.
        """
        path = self.folder / f"{run_id}.json"
        return load_plan(path.read_text()) if run_id and path.exists() else ()

    def note(self, what: str, run_id: str, **more: Any) -> None:
        """Say that something was done; one write, so that notes of many processes do not mix."""
        who = {"pid": os.getpid(), "thread": threading.get_ident(), "time": time.time()}
        line = json.dumps({"what": what, "run_id": run_id, **who, **more}) + "\n"
        file = os.open(self.folder / _NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def notes(self) -> list[dict[str, Any]]:
        """Everything noted so far."""
        path = self.folder / _NOTES
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
