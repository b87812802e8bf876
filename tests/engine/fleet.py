"""Runs the ranks of a program as threads of this process, over a fake channel with the contract of a real one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from channels.tags import Tag
from channels.tensors import Tensor
from engine.collectives import run_exchange
from engine.loaded import LoadedRank
from engine.port import Port
from engine.program import Exchange, Instruction, Program
from engine.row_maps import row_maps

T = TypeVar("T")
Key = tuple[int, int, Tag]  # source slot, destination slot, tag

TIMEOUT_S = 10.0


class PeerGone(Exception):
    """Another rank failed, so what was waited for will not come."""


class FakeNetwork:
    """Every message ever sent, by key; a key that is sent twice keeps its first message. Counts sends."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.messages: dict[Key, Tensor] = {}
        self.sends: list[Key] = []
        self.failed = False

    def put(self, key: Key, tensor: Tensor) -> None:
        with self.changed:
            self.sends.append(key)
            self.messages.setdefault(key, tensor)
            self.changed.notify_all()

    def fail(self) -> None:
        """Wake everybody who waits: a rank is gone."""
        with self.changed:
            self.failed = True
            self.changed.notify_all()

    def wait(self, keys: Sequence[Key]) -> Key:
        """The last of those that are there: never the order that was asked for."""
        with self.changed:
            self.changed.wait_for(lambda: self.failed or any(key in self.messages for key in keys), TIMEOUT_S)
            for key in reversed(keys):
                if key in self.messages:
                    return key
        raise PeerGone(f"nothing under {keys}")


class FakeChannel:
    """One slot's end. `check` is called before each wait and may raise, as a real channel's hook."""

    def __init__(self, network: FakeNetwork, slot: int, check: Callable[[], None] = lambda: None) -> None:
        self.network = network
        self.slot = slot
        self.check = check

    def send_many(self, messages: Iterable[tuple[int, Tag, Tensor]]) -> None:
        for slot, tag, tensor in messages:
            self.network.put((self.slot, slot, tag), tensor)

    def relay(self, tag: Tag, slot: int, sources: Sequence[int], on: Sequence[str]) -> None:
        """Nobody hands on."""

    def hand_on(self, tag: Tag) -> None:
        """Nobody hands on."""

    def recv_any(self, pairs: Sequence[tuple[int, Tag]]) -> tuple[int, Tag, Tensor]:
        self.check()
        keys = [(source, self.slot, tag) for source, tag in pairs]
        source, _, tag = self.network.wait(keys)
        return source, tag, self.network.messages[source, self.slot, tag]

    def has_arrived(self, src: int, tag: Tag) -> bool:
        with self.network.changed:
            return (src, self.slot, tag) in self.network.messages


def on_all_ranks(size: int, work: Callable[[int], T], network: FakeNetwork) -> list[T]:
    """Results of `work(rank)`, run at the same time for every rank; raises what the first rank to fail raised."""

    def guarded(rank: int) -> T:
        try:
            return work(rank)
        except BaseException:
            network.fail()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(guarded, rank) for rank in range(size)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, PeerGone)), errors[0])
    return [future.result() for future in futures]


def exchange_all(
    exchanges: Sequence[Exchange],
    inputs: Sequence[Tensor | None],
    weights: Sequence[Mapping[str, NDArray[Any]]] | None = None,
    network: FakeNetwork | None = None,
) -> list[Tensor | None]:
    """Outputs by rank of one exchange, rank r taking part as exchanges[r]; slot of rank r is size - 1 - r."""
    net, size = network or FakeNetwork(), len(exchanges)
    slots = list(reversed(range(size)))

    def work(rank: int) -> Tensor | None:
        port = Port(FakeChannel(net, slots[rank]), slots, rank, exchanges[rank].step)
        maps = row_maps(exchanges[rank], weights[rank]) if weights else None
        return run_exchange(exchanges[rank], inputs[rank], port, maps)

    return on_all_ranks(size, work, net)


def loaded_rank(
    instructions: Sequence[Instruction],
    rank: int = 0,
    world_size: int = 1,
    weights: Mapping[str, NDArray[Any]] | None = None,
    outputs: tuple[str, ...] = (),
) -> LoadedRank:
    """A rank that was never in a bundle."""
    program = Program(rank, world_size, tuple(instructions))
    return LoadedRank(program, {name: np.asarray(array) for name, array in (weights or {}).items()}, {}, outputs)
