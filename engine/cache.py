"""What a warm process keeps: assets by sha256, least recently used out first, and what was built from them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class ShardCache:
    """Assets, up to a number of bytes. Lives as long as the process; safe to use from several threads.

    limit_bytes: of all assets together. What is built from them (sessions, prepared matrices) goes with them and
                 is not counted: onnxruntime may hold a second, packed copy of its weights, so leave room for that.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._lock = threading.RLock()
        self._assets: OrderedDict[str, memoryview] = OrderedDict()
        self._built: dict[Hashable, tuple[frozenset[str], Any]] = {}
        self._loads = 0

    @property
    def loads(self) -> int:
        """How many assets were loaded so far because they were not there."""
        return self._loads

    @property
    def size_bytes(self) -> int:
        """Bytes of all assets that are held."""
        with self._lock:
            return sum(len(blob) for blob in self._assets.values())

    def held(self) -> frozenset[str]:
        """sha256 of the assets that are held."""
        with self._lock:
            return frozenset(self._assets)

    def asset(self, sha256: str, load: Callable[[], memoryview]) -> memoryview:
        """The bytes of an asset, loaded if they are not held. One larger than the limit is loaded, but not kept."""
        with self._lock:
            if sha256 not in self._assets:
                self._loads += 1
                self._assets[sha256] = load()
            self._assets.move_to_end(sha256)
            blob = self._assets[sha256]
            self._evict()
            return blob

    def built(self, key: Hashable, parents: Iterable[str], build: Callable[[], T]) -> T:
        """An object made from assets, built if it is not held; it is kept as long as all its parents are.

        key:     what it is; parents: sha256 of the assets it was built from.
        """
        with self._lock:
            if key in self._built:
                value: T = self._built[key][1]
                return value
            value = build()
            needed = frozenset(parents)
            if needed <= self._assets.keys():
                self._built[key] = (needed, value)
            return value

    def _evict(self) -> None:
        while self._assets and self.size_bytes > self.limit_bytes:
            gone, _ = self._assets.popitem(last=False)
            self._built = {key: entry for key, entry in self._built.items() if gone not in entry[0]}
