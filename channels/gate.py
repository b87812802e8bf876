"""Whose frame is it: ours, an older holder's, or a newer one's? The fence of DESIGN's leases, as one comparison."""

from __future__ import annotations

from enum import Enum

from channels.config import ChannelConfig
from channels.frame import Header, run_tag


class Verdict(Enum):
    """What to do with a frame: deliver it, drop it, or leave because this process is the zombie."""

    OURS = "ours"
    STALE = "stale"
    NEWER = "newer"


def judge(header: Header, config: ChannelConfig) -> Verdict:
    """Compare a frame with this process's identity: the lane's epoch first, then, within a run, the attempt.

    A newer attempt is newer, not stale: acknowledging its frames would rob the process that replaced this one.
    """
    if header.epoch != config.epoch:
        return Verdict.STALE if header.epoch < config.epoch else Verdict.NEWER
    if not same_run(header, config) or header.attempt < config.attempt:
        return Verdict.STALE
    return Verdict.OURS if header.attempt == config.attempt else Verdict.NEWER


def same_run(header: Header, config: ChannelConfig) -> bool:
    """Is the frame of this run and lease, so that this run's key must have signed it?

    Another coordinator of the same run, which took over from a dead one, has another lease and a key of its own.
    """
    return header.run_tag == run_tag(config.run_id) and header.epoch == config.epoch
