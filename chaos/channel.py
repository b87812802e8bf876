"""Faults of a channel: between its base class, which believes to have sent a frame, and its transport."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from channels.base import Channel
from channels.transport import Incoming, Key, Outgoing
from chaos.faults import Fault
from chaos.injector import Injector

DELAY_S = 0.5
# A frame that shall come after its successor goes alone when there is none.
PATIENCE_S = 1.0
# After a slot has left: rank 0 has answered by then, more often than not.
LATE_S = 1.5

Put = Callable[[Sequence[Outgoing]], None]


class FaultyEnd:
    """One slot's end of a channel whose frames meet the faults of a plan."""

    def __init__(self, channel: Channel, injector: Injector) -> None:
        self._channel = channel
        self._injector = injector
        self._put_well: Put = channel._put
        self._poll_well = channel._poll
        self._drain_well = channel._drain
        self._dispose_well = channel._dispose
        self._frames = 0
        self._calls = 0
        self._expected: tuple[Key, ...] = ()
        self._held: list[Outgoing] = []
        self._late: list[Outgoing] = []
        self._timers: list[threading.Timer] = []
        self._sending = threading.RLock()

    def put(self, batch: Sequence[Outgoing]) -> None:
        """Send frames, some of them badly."""
        self._step()
        self._send([frame for out in batch for frame in self._meet(out)])

    def poll(self, expected: Sequence[Key], timeout_s: float) -> Sequence[Incoming]:
        """Receive; every new thing to wait for is a step."""
        if tuple(expected) != self._expected:
            self._expected = tuple(expected)
            self._step()
        return self._poll_well(expected, timeout_s)

    def drain(self) -> None:
        """Wait for what is delayed, too: a request that is under way keeps its caller."""
        timers, self._timers = self._timers, []
        for timer in timers:
            timer.join()
        self._drain_well()

    def dispose(self) -> None:
        """Free what the transport holds, when the last late frame has left."""
        for timer in self._timers:
            timer.cancel()
        late, self._late = self._late, []
        if late:
            self._start_timer(LATE_S, lambda: self._send_late(late))
        else:
            self._dispose_well()

    def _send_late(self, frames: Sequence[Outgoing]) -> None:
        try:
            self._put_well(frames)
            self._drain_well()
        finally:
            self._dispose_well()

    def _step(self) -> None:
        config = self._channel.config
        self._injector.step(config.attempt, config.slot, self._calls)
        self._calls += 1

    def _meet(self, out: Outgoing) -> list[Outgoing]:
        config = self._channel.config
        faults = self._injector.due("frame", config.attempt, config.slot, self._frames)
        self._frames += 1
        frames = [out]
        for fault in faults:
            frames = [new for frame in frames for new in self._apply(fault, frame)]
        return frames

    def _apply(self, fault: Fault, out: Outgoing) -> list[Outgoing]:
        if fault.kind == "duplicate":
            return [out, out]
        if fault.kind in _MANGLE:
            return [replace(out, data=_MANGLE[fault.kind](out.data))]
        if fault.kind == "late":
            self._late.append(out)
            return [out]
        if fault.kind == "delay":
            self._timers.append(self._start_timer(DELAY_S, lambda: self._send([out])))
        elif fault.kind == "reorder":
            self._held.append(out)
            self._timers.append(self._start_timer(PATIENCE_S, lambda: self._send([])))
        return []

    def _send(self, frames: Sequence[Outgoing]) -> None:
        """Send frames, and after them those that wait for a successor."""
        with self._sending:
            held, self._held = self._held, []
            for batch in (frames, held):
                if batch:
                    self._put_well(batch)

    def _start_timer(self, after_s: float, action: Callable[[], None]) -> threading.Timer:
        timer = threading.Timer(after_s, action)
        timer.daemon = True
        timer.start()
        return timer


def _flip(data: bytes) -> bytes:
    """Another last bit: of the MAC, so that nothing but the check can notice."""
    return data[:-1] + bytes([data[-1] ^ 1])


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 3 // 4]


_MANGLE: dict[str, Callable[[bytes], bytes]] = {"corrupt": _flip, "truncate": _cut}


def make_faulty(channel: Channel, injector: Injector) -> Channel:
    """The same channel, its transport's hooks replaced by those of a FaultyEnd."""
    end = FaultyEnd(channel, injector)
    channel._put = end.put  # type: ignore[method-assign]
    channel._poll = end.poll  # type: ignore[method-assign]
    channel._drain = end.drain  # type: ignore[method-assign]
    channel._dispose = end.dispose  # type: ignore[method-assign]
    return channel
