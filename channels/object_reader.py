"""Reads one slot's frame out of a parcel on S3, mostly with one request: index and parts in front come with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from channels.errors import FrameError
from channels.parcel import Part, parcel_index
from channels.retry import service_errors

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MISSING = ("NoSuchKey", "404")
EMPTY = ("InvalidRange", "416")
NO_FRAME = b""

# Bytes within a region are free, requests are not: read ahead while that takes no longer than a second request would.
LEAST_FIRST_BYTES = 64 << 10
MOST_FIRST_BYTES = 1 << 20


class ObjectReader:
    """Reads for one slot; may be used by several threads, each for another source.

    max_bytes: a larger frame is not read.
    """

    def __init__(self, s3: S3Client, bucket: str, slot: int, max_bytes: int) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._slot = slot
        self._max_bytes = max_bytes
        self._reach: dict[int, int] = {}

    def read(self, name: str, source: int = -1) -> bytes | None:
        """Return the frame for this slot; None if there is none yet, NO_FRAME where there is something else.

        source: whose parcel it is; the next one of the same source is taken to be as large.

        Raises:
            TransportError: if the service refuses the call after all retries.
        """
        first_bytes = min(max(LEAST_FIRST_BYTES, self._reach.get(source, 0) * 5 // 4), MOST_FIRST_BYTES)
        data = self._get(name, 0, first_bytes)
        if not data:
            return data
        try:
            part = next((part for part in parcel_index(data) if part.slot == self._slot), None)
        except FrameError:
            return NO_FRAME
        if part is None:
            return None
        self._reach[source] = part.end
        return self._frame(name, data, part)

    def _frame(self, name: str, data: bytes, part: Part) -> bytes | None:
        if part.end - part.start > self._max_bytes:
            return NO_FRAME
        return data[part.start : part.end] if part.end <= len(data) else self._get(name, part.start, part.end)

    def _get(self, name: str, start: int, end: int) -> bytes | None:
        return get_range(self._s3, self._bucket, name, start, end - start)


def get_range(s3: S3Client, bucket: str, name: str, start: int, size: int) -> bytes | None:
    """Return bytes [start, start + size) of an object, fewer at its end; None if there is no such object.

    Raises:
        TransportError: if the service refuses the call after all retries.
    """
    with service_errors(f"s3 get_object {name}"):
        try:
            response = s3.get_object(Bucket=bucket, Key=name, Range=f"bytes={start}-{start + size - 1}")
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in MISSING:
                return None
            if code in EMPTY:
                return NO_FRAME
            raise
        with response["Body"] as body:
            return body.read(size)
