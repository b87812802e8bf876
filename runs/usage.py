"""Which bundles runs under way read: those stay, whatever becomes of the names that pointed at them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from runs.objects import Objects
from runs.record import GRACE_S

_CLAIM, _RECORD = "/request.json", "/record.json"


def bundles_in_use(objects: Objects) -> frozenset[str]:
    """The bundles of all runs that have no record and are within their deadline."""
    return frozenset(bundle for run in _open_runs(objects) if (bundle := _bundle_of(objects, run)))


def _open_runs(objects: Objects) -> list[str]:
    """Prefixes of the runs that were claimed and have no record."""
    keys = {key for page in objects.keys("runs/") for key in page if key.endswith((_CLAIM, _RECORD))}
    claimed = (key.removesuffix(_CLAIM) for key in sorted(keys) if key.endswith(_CLAIM))
    return [run for run in claimed if run + _RECORD not in keys]


def _bundle_of(objects: Objects, run: str) -> str:
    """The bundle that a run reads; nothing of one that is over."""
    stored = objects.get(run + _CLAIM)
    if stored is None:
        return ""
    claim = json.loads(stored.data)
    return str(claim["bundle_id"]) if stored.now < float(claim["deadline"]) + GRACE_S else ""


def unused_bundles(objects: Objects, known: frozenset[str], young_s: float) -> Iterator[str]:
    """Bundles that are not `known`, of which no object is younger than this: who registers uploads the bundle first."""
    newest: dict[str, float] = {}
    now = 0.0
    for key, written_at, seen_at in objects.ages("bundles/"):
        bundle, now = key.split("/")[1], max(now, seen_at)
        newest[bundle] = max(newest.get(bundle, 0.0), written_at)
    yield from (bundle for bundle, at in sorted(newest.items()) if bundle not in known and at < now - young_s)
