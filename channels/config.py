"""What every channel is built from, whatever its transport: identity, limits, and the caller's hooks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from channels.errors import ConfigError

MAX_MESSAGE_BYTES = 1 << 30
RUN_ID_HEX_DIGITS = 32
MAX_SLOTS = (1 << 16) - 1  # the highest number is channels.frame.EVERY
HEAD_ROOM_BYTES = 1024  # what a payload's head adds to the value, at most


@dataclass(frozen=True)
class ChannelConfig:
    """Who this end of the channel is.

    run_id:    32 lower-case hex digits.
    attempt:   which try at the run, from 0.
    epoch:     lease number of the lane; lower = stale, higher = this process is the zombie.
    slot:      this process's number, in [0, slots).
    slots:     number of processes of the run.
    mac_key:   secret of the run, 16 to 64 bytes; signs every frame.
    deadline:  absolute, in seconds of `ChannelHooks.clock`.
    poll_s:    longest time between two calls of the `check` hook while waiting.
    max_message_bytes: larger messages are refused before memory is taken, when sent and when received.
    """

    run_id: str
    attempt: int
    epoch: int
    slot: int
    slots: int
    mac_key: bytes = field(repr=False)
    deadline: float
    poll_s: float = 1.0
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def __post_init__(self) -> None:
        """Refuse an identity that cannot be.

        Raises:
            ConfigError: which field, what was expected, what came.
        """
        if len(self.run_id) != RUN_ID_HEX_DIGITS or set(self.run_id) - set("0123456789abcdef"):
            raise ConfigError(f"run_id: expected {RUN_ID_HEX_DIGITS} lower-case hex digits, got {self.run_id!r}")
        if not 0 <= self.slot < self.slots <= MAX_SLOTS:
            raise ConfigError(f"slot: expected 0 <= slot < slots <= {MAX_SLOTS}, got slot={self.slot} of {self.slots}")
        if not (0 <= self.attempt < 1 << 32 and 0 <= self.epoch < 1 << 64):
            raise ConfigError(f"attempt and epoch: expected u32 and u64, got {self.attempt} and {self.epoch}")
        if not 16 <= len(self.mac_key) <= 64:
            raise ConfigError(f"mac_key: expected 16 to 64 bytes, got {len(self.mac_key)}")

    @property
    def max_payload_bytes(self) -> int:
        """Largest payload of a whole message: the largest value and its head."""
        return self.max_message_bytes + HEAD_ROOM_BYTES


def _nothing() -> None:
    """No check."""


def _drop(_text: str) -> None:
    """Nobody listens for messages that are no frames."""


def _believe(_epoch: int) -> bool:
    """Take a higher epoch for true."""
    return True


@dataclass(frozen=True)
class ChannelHooks:
    """What the owner of a channel lets it call, all on the thread that waits.

    check:         called on every wait iteration; may raise to interrupt a recv, which then loses nothing.
    on_foreign:    gets the text of a message that is no frame (a failure notice of Lambda); may raise.
    confirm_epoch: is a newer holder with this epoch real? Asked where its run's key is not known here, so that
                   a forged message cannot end a run; the lease knows.
    clock, sleep:  seconds.
    """

    check: Callable[[], None] = _nothing
    on_foreign: Callable[[str], None] = _drop
    confirm_epoch: Callable[[int], bool] = _believe
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass
class ChannelStats:
    """What one end of a channel has done so far.

    bytes_sent, bytes_received: whole frames, before a transport's text encoding.
    encode_s, decode_s: seconds spent on turning tensors into frames, and payloads into tensors.
    call_s: of wait_s, what the waiting thread spent on the transport's own requests.
    waits, wait_s: times a recv found nothing in the inbox, and the seconds it then waited.
    duplicates, stale, rejected, foreign: messages dropped because already received, of an older lease or attempt,
    not valid under this run's key, or no frame at all.
    """

    frames_sent: int = 0
    bytes_sent: int = 0
    frames_received: int = 0
    bytes_received: int = 0
    encode_s: float = 0.0
    decode_s: float = 0.0
    call_s: float = 0.0
    waits: int = 0
    wait_s: float = 0.0
    duplicates: int = 0
    stale: int = 0
    rejected: int = 0
    foreign: int = 0
