"""Ends of a memory channel whose frames meet a plan."""

from __future__ import annotations

import time
from pathlib import Path

from channels import ChannelConfig, MemoryChannel, MemoryHub
from chaos.channel import make_faulty
from chaos.desk import Desk
from chaos.faults import Fault
from chaos.injector import Injector

RUN_ID = "ab" * 16


class Killed(Exception):
    """What stands for SIGKILL in these tests."""


def kill() -> None:
    raise Killed


def plain_end(hub: MemoryHub, slot: int) -> MemoryChannel:
    config = ChannelConfig(RUN_ID, 1, 1, slot, 3, b"k" * 32, time.monotonic() + 2, poll_s=0.05)
    return MemoryChannel(config, hub)


def faulty_end(folder: Path, hub: MemoryHub, slot: int, *faults: Fault) -> MemoryChannel:
    """The same, with faults."""
    end = plain_end(hub, slot)
    make_faulty(end, Injector(Desk(folder), RUN_ID, faults, end=kill))
    return end
