"""What the `register` function is asked, and whether it fits into one function: checked before anything is compiled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from runs.errors import BadRequest, RunError
from runs.service import Invocation, Service

# The file itself, its protobuf, the split copies and onnxruntime's constant folding are in memory together.
MEMORY_PER_MODEL_BYTE = 4
# Measured at about 40 MB/s on one slow core, upload included; half of that is assumed.
BYTES_PER_SECOND = 20e6


class TooLargeHere(RunError):
    """The model does not fit into a function: `fsd register` compiles it elsewhere."""

    code = "too_large"


@dataclass(frozen=True)
class CompileRequest:
    """Event of `register`; the fields are those of `fsd register`. workers: None = what the grid says, or 1."""

    model: str
    name: str = ""
    strategy: str = "auto"
    workers: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    precision: str = "exact"
    merge_rows: bool = False

    @staticmethod
    def from_json(event: object) -> CompileRequest:
        """The request that an event holds.

        Raises:
            BadRequest: a field is missing, unknown or of another type.
        """
        kinds: dict[str, Any] = {"model": str, "name": str, "strategy": str, "workers": int, "options": Mapping}
        kinds |= {"precision": str, "merge_rows": bool}
        if not isinstance(event, Mapping) or "model" not in event:
            raise BadRequest(f"request: expected a JSON object with model, and if wanted {', '.join(kinds)}")
        for name, value in event.items():
            if name not in kinds:
                raise BadRequest(f"request: unknown field {str(name)[:80]!r}; known: {', '.join(kinds)}")
            if isinstance(value, bool) != (kinds[name] is bool) or not isinstance(value, kinds[name]):
                raise BadRequest(f"{name}: expected {kinds[name].__name__}, got {type(value).__name__}")
        return CompileRequest(**event)


def fetcher(service: Service, invocation: Invocation) -> Callable[[str, str, Path], None]:
    """Fetches an object of a bucket that this stage may read, if it fits."""

    def fetch(bucket: str, key: str, path: Path) -> None:
        allowed = (service.settings.bucket, *service.settings.read_buckets)
        if bucket not in allowed:
            raise BadRequest(
                f"model: expected an object in one of the buckets {', '.join(allowed)}, got s3://{bucket}/{key}"
            )
        try:
            check_size(service.clients.s3.head_object(Bucket=bucket, Key=key)["ContentLength"], invocation)
            service.clients.s3.download_file(bucket, key, str(path))
        except ClientError as error:
            raise BadRequest(f"model s3://{bucket}/{key}: {error}") from None

    return fetch


def check_fits(path: Path, invocation: Invocation) -> None:
    """Refuse a model, with the external data beside it, that this invocation cannot compile.

    Raises:
        TooLargeHere: needed and available.
    """
    check_size(sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file()), invocation)


def check_size(size_bytes: int, invocation: Invocation) -> None:
    """Hold a model's bytes against the memory and the time of this invocation.

    Raises:
        TooLargeHere: needed and available.
    """
    needed_mb = size_bytes * MEMORY_PER_MODEL_BYTE >> 20
    if needed_mb > invocation.memory_mb:
        raise TooLargeHere(
            f"model of {size_bytes} bytes: compiling needs about {needed_mb} MB of memory, this function has "
            f"{invocation.memory_mb}: compile it with `fsd register`"
        )
    left_s = invocation.ends_at - time.monotonic()
    if size_bytes / BYTES_PER_SECOND > left_s:
        needed_s = size_bytes / BYTES_PER_SECOND
        raise TooLargeHere(
            f"model of {size_bytes} bytes: compiling needs about {needed_s:.0f} s, {left_s:.0f} are left: "
            "compile it with `fsd register`"
        )
