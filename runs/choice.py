"""Decides which channel a run takes: the wanted one, or what `auto` finds best for the request's sizes."""

from __future__ import annotations

from collections.abc import Mapping

from bundle.manifest import Manifest
from costs.sized import Estimate, estimates, from_info
from runs.request import AUTO, CHANNELS, Request
from runs.service import Service

# Channels that receive from the lane's queues: what Lambda tells rank 0 of dead workers comes with the rest.
BY_LANE = frozenset({"hybrid", "queue"})


def wanted_channel(
    request: Request, manifest: Manifest, input_bytes: int, memory_mb: int, *, express: bool = False
) -> str:
    """The channel that a request asks for, or what `auto` takes for it.

    input_bytes: of the request's tensors; memory_mb: of the functions.
    express:     whether the stage exchanges objects in S3 Express One Zone.
    """
    if request.channel != AUTO:
        return request.channel
    points = from_info(manifest.info)
    found = estimates(points, input_bytes, manifest.world_size, memory_mb, express=express)
    return best_channel(found, request.prefer)


def choose_channel(service: Service, wanted: str, size: int) -> str:
    """The channel of a run of `size` ranks: the wanted one, or `object` where there are more ranks than queues."""
    return wanted if wanted not in BY_LANE or size <= service.settings.ranks else "object"


def best_channel(found: Mapping[str, Estimate], prefer: str) -> str:
    """The channel with the least "usd" or "seconds"; of equal ones, and where nothing is known, the first."""
    known = [channel for channel in CHANNELS if channel in found]
    return min(known, key=lambda channel: _rank(found[channel], prefer), default=CHANNELS[0])


def _rank(found: Estimate, prefer: str) -> tuple[float, float]:
    return (found.seconds, found.usd) if prefer == "seconds" else (found.usd, found.seconds)
