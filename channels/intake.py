"""Everything that arrives passes here once: checked, judged, put together, or dropped and counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from channels.codec import Codec
from channels.config import ChannelConfig, ChannelStats
from channels.errors import CodecError, Fenced, FrameError, RunAborted
from channels.frame import EVERY, Frame, Header, parse_frame, verify_mac
from channels.gate import Verdict, judge, same_run
from channels.inbox import Buffer, Inbox
from channels.tags import ABORT, Tag


class Intake:
    """Sorts arrivals into the inbox. Raises nothing: what the owner must learn waits in `over` and `foreign`.

    over:    why this slot must stop, once known.
    foreign: texts that are no frames, for the owner.
    """

    def __init__(self, config: ChannelConfig, stats: ChannelStats, codec: Codec) -> None:
        self.inbox = Inbox()
        self.foreign: deque[str] = deque()
        self.over: Fenced | RunAborted | None = None
        self._config = config
        self._stats = stats
        self._codec = codec

    def accept(self, data: bytes | str, confirm_epoch: Callable[[int], bool]) -> bool:
        """Take in one message; False if it belongs to a newer holder, who must still get it."""
        if isinstance(data, str):
            self._stats.foreign += 1
            self.foreign.append(data)
            return True
        try:
            return self._accept_frame(data, parse_frame(data, self._config.max_payload_bytes), confirm_epoch)
        except FrameError:
            self._stats.rejected += 1
            return True

    def accept_for(self, slot: int, data: bytes, confirm_epoch: Callable[[int], bool]) -> Header | None:
        """The header of a frame for another slot, to be handed on to it; None if it is not of this attempt."""
        try:
            if not 0 <= slot < self._config.slots:
                raise FrameError(f"parcel: expected a slot in [0, {self._config.slots}), got {slot}")
            frame = parse_frame(data, self._config.max_payload_bytes)
            verdict = self._judged(slot, data, frame.header, confirm_epoch)
        except FrameError:
            self._stats.rejected += 1
            return None
        return frame.header if verdict is Verdict.OURS else None

    def _accept_frame(self, data: bytes, frame: Frame, confirm_epoch: Callable[[int], bool]) -> bool:
        verdict = self._judged(self._config.slot, data, frame.header, confirm_epoch)
        if verdict is Verdict.OURS:
            self._keep(data, frame)
        return verdict is not Verdict.NEWER

    def _judged(self, slot: int, data: bytes, header: Header, confirm_epoch: Callable[[int], bool]) -> Verdict:
        """Whose a frame for a slot is; notes and counts what is not this attempt's."""
        signed = same_run(header, self._config)
        if signed:
            verify_mac(data, self._config.mac_key)
        if header.destination not in (slot, EVERY):
            raise FrameError(f"frame: expected slot {slot}, got {header}")
        verdict = judge(header, self._config)
        if verdict is Verdict.NEWER:
            self._fence(header, signed or confirm_epoch(header.epoch))
        if verdict is Verdict.STALE:
            self._stats.stale += 1
        return verdict

    def _fence(self, header: Header, believed: bool) -> None:
        if not believed:
            raise FrameError(f"frame: nobody holds the epoch that it claims: {header}")
        me = self._config
        text = f"slot {me.slot}: holds epoch {me.epoch} attempt {me.attempt}, but there is "
        self.over = Fenced(f"{text}epoch {header.epoch} attempt {header.attempt} of run {header.run_tag.hex()}...")

    def _keep(self, data: bytes, frame: Frame) -> None:
        if not self.inbox.add(frame):
            self._stats.duplicates += 1
            return
        self._stats.frames_received += 1
        self._stats.bytes_received += len(data)
        if frame.header.tag.step == ABORT:
            self._note_abort(frame.header.source, frame.header.tag)

    def _note_abort(self, source: int, tag: Tag) -> None:
        payload = self.inbox.pop((source, tag))
        if payload is not None and self.over is None:
            self.over = RunAborted(self._reason(payload), source)

    def _reason(self, payload: Buffer) -> str:
        try:
            value = self._codec.decode_json(payload)
        except CodecError as error:
            return f"no reason given ({error})"
        return str(value.get("reason", "no reason given")) if isinstance(value, dict) else "no reason given"
