"""Fetches the inputs of a request that names an object instead of holding them."""

from __future__ import annotations

import re

from runs.errors import BadRequest
from runs.objects import Objects, ObjectTooLarge
from runs.request import Request
from runs.service import Service
from runs.values import MAX_INPUT_BYTES

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(\S.*)")


def fetch_inputs(service: Service, request: Request) -> bytes | None:
    """The object behind inputs_uri; None where the request holds its inputs.

    Raises:
        BadRequest: no such object, or not in a bucket that this stage may read.
    """
    if not request.inputs_uri:
        return None
    bucket, key = parse_uri(request.inputs_uri, "inputs_uri")
    allowed = (service.settings.bucket, *service.settings.read_buckets)
    if bucket not in allowed or (bucket == service.settings.bucket and not key.startswith("runs/")):
        raise BadRequest(
            f"inputs_uri: expected s3://{allowed[0]}/runs/... or a bucket of readBuckets, got {request.inputs_uri!r}"
        )
    try:
        stored = Objects(service.clients.s3, bucket).get(key, MAX_INPUT_BYTES)
    except ObjectTooLarge as error:
        raise BadRequest(f"inputs_uri: {request.inputs_uri}: {error}") from None
    if stored is None:
        raise BadRequest(f"inputs_uri: no object {request.inputs_uri}")
    return stored.data


def parse_uri(uri: str, what: str) -> tuple[str, str]:
    """Bucket and key of an s3:// address.

    Raises:
        BadRequest: it is none.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise BadRequest(f"{what}: expected s3://bucket/key, got {uri[:200]!r}")
    return match[1], match[2]
