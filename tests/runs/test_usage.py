"""Which bundles runs read, and which nobody needs."""

from __future__ import annotations

import json
from typing import Any, cast

from runs.objects import Objects
from runs.usage import bundles_in_use, unused_bundles
from tests.runs.fakes import Clock, FakeS3


def test_a_bundle_is_in_use_until_its_run_has_a_record_or_is_past_its_deadline() -> None:
    clock = Clock()
    s3 = FakeS3(clock)
    objects = Objects(cast(Any, s3), "bucket")
    for run, left_s in (("open", 100.0), ("done", 100.0), ("over", -100.0)):
        claim = {"request": {}, "deadline": clock() + left_s, "bundle_id": f"bundle-{run}"}
        objects.put(f"runs/{run}/request.json", json.dumps(claim).encode())
    objects.put("runs/done/record.json", b"{}")
    objects.put("runs/open/x/message", b"")
    assert bundles_in_use(objects) == {"bundle-open"}


def test_an_unused_bundle_is_neither_known_nor_young() -> None:
    clock = Clock()
    objects = Objects(cast(Any, FakeS3(clock)), "bucket")
    for bundle in ("known", "old", "half"):
        objects.put(f"bundles/{bundle}/assets/a", b"")
    objects.put("bundles/old/manifest.json", b"{}")
    clock.now += 1000
    objects.put("bundles/young/manifest.json", b"{}")
    assert list(unused_bundles(objects, frozenset({"known"}), 500.0)) == ["half", "old"]
