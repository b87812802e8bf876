"""Manifests are immutable: an environment reads each of them once."""

from __future__ import annotations

from bundle.io import read_manifest
from bundle.manifest import Manifest
from runs.service import Service


def cached_manifest(service: Service, bundle_id: str) -> Manifest:
    """The manifest of a bundle, from this environment's memory where it has it."""
    if bundle_id not in service.manifests:
        if len(service.manifests) >= 64:
            service.manifests.pop(next(iter(service.manifests)))
        service.manifests[bundle_id] = read_manifest(service.store, bundle_id)
    return service.manifests[bundle_id]
