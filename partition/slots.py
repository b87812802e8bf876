"""The values that are alive during a walk over a graph: each has a slot, which another gets after its last use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from partition.graph import Op


class Slots:
    """names: by slot, "" where it is free."""

    def __init__(self, last_use: Mapping[str, int]) -> None:
        self.names: list[str] = []
        self._last_use = last_use
        self._slots: dict[str, int] = {}
        self._free: list[int] = []

    @property
    def alive(self) -> int:
        """How many values there are."""
        return len(self._slots)

    def of(self, name: str) -> int:
        """Where a value is; -1 = nowhere."""
        return self._slots.get(name, -1)

    def take(self, name: str) -> None:
        """Give a slot to a value that has none yet, if anybody reads it."""
        if name not in self._last_use or name in self._slots:
            return
        if not self._free:
            self._free.append(len(self.names))
            self.names.append("")
        slot = self._free.pop()
        self.names[slot], self._slots[name] = name, slot

    def advance(self, index: int, op: Op) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """Go past an op: the slots of what it reads last, and slot and position of each output that is read later."""
        gone = [self._drop(name) for name in op.reads if name in self._slots and self._last_use[name] == index]
        made = [(i, name) for i, name in enumerate(op.outputs) if self._last_use.get(name, -1) > index]
        for _, name in made:
            self.take(name)
        return gone, [(self._slots[name], i) for i, name in made]

    def _drop(self, name: str) -> int:
        slot = self._slots.pop(name)
        self.names[slot] = ""
        self._free.append(slot)
        return slot
