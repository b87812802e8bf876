"""What a function sees of its own stage: quota, lanes, line, versions; `fsd doctor` asks for it."""

from __future__ import annotations

import platform
import time
from importlib import import_module
from typing import Any

from runs.launch import concurrency_quota
from runs.lease import lane_states
from runs.service import Invocation, Service

PACKAGES = ("boto3", "ml_dtypes", "numpy", "onnxruntime", "zstandard")


def checkup(service: Service, invocation: Invocation) -> dict[str, Any]:
    """Facts, judged by nobody yet; sizes in MB, ages in seconds."""
    settings = service.settings
    return {
        "quota": concurrency_quota(service),
        "lanes": lane_states(service.objects, settings.lanes),
        "ranks_per_lane": settings.ranks,
        "memory_mb": invocation.memory_mb,
        "runtime": f"python{platform.python_version()} {platform.machine()}",
        "versions": package_versions(),
        "channel": {"age_s": round(_age_s(service), 1), "filter_delay_s": settings.filter_delay_s},
        "line": _waiting(service),
        "express_bucket": settings.express_bucket,
    }


def package_versions() -> dict[str, str]:
    """Of the packages that decide what a run computes, in this interpreter; empty where it cannot be told."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:  # not by its metadata, which layers do not have
        return str(getattr(import_module(name), "__version__", ""))
    except ImportError:
        return ""


def _age_s(service: Service) -> float:
    found = service.clients.sqs.get_queue_attributes(
        QueueUrl=service.settings.queue_url(0, 0), AttributeNames=["CreatedTimestamp"]
    )
    return time.time() - float(found["Attributes"]["CreatedTimestamp"])


def _waiting(service: Service) -> int:
    """Runs that stand in line, as far as SQS knows at once."""
    counts = service.clients.sqs.get_queue_attributes(
        QueueUrl=service.settings.line_queue,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"],
    )["Attributes"]
    return sum(map(int, counts.values()))
