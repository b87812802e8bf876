"""Reads frames out of parcels on S3, mostly with one request: the index and the parts in front come with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from channels.errors import FrameError
from channels.parcel import Part
from channels.retry import service_errors
from channels.stamped import stamped_index

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MISSING = ("NoSuchKey", "404")
EMPTY = ("InvalidRange", "416")
NO_FRAME = b""

# Bytes within a region are free, requests are not: read ahead while that takes no longer than a second request would.
LEAST_FIRST_BYTES = 64 << 10
MOST_FIRST_BYTES = 1 << 20


@dataclass(frozen=True)
class Found:
    """What an object has for somebody.

    frames: (slot, frame); a frame for several slots is one object. NO_FRAME: there was something else.
    put_s:  when it was put, in seconds of its writer's clock; None if it does not say.
    """

    frames: list[tuple[int, bytes]]
    put_s: float | None = None


class ObjectReader:
    """Reads for one slot; may be used by several threads, each for another source.

    max_bytes: a larger frame is not read.
    """

    def __init__(self, s3: S3Client, bucket: str, slot: int, max_bytes: int) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._slot = slot
        self._max_bytes = max_bytes
        self._reach: dict[str, int] = {}

    def read_all(self, name: str) -> Found | None:
        """Return all frames for this slot of what a relay made; None if there is no such object yet.

        Raises:
            TransportError: if the service refuses the call after all retries.
        """
        return self._parts(name, "relayed", lambda parts: [part for part in parts if part.slot == self._slot])

    def read_for_all(self, name: str, source: int, most: int) -> Found | None:
        """Return the frames of a source's parcel; those for this slot only, if it has more than `most` bytes.

        None if there is no such object yet.

        Raises:
            TransportError: if the service refuses the call after all retries.
        """

        def wanted(parts: Sequence[Part]) -> list[Part]:
            large = any(part.end > most for part in parts)
            return [part for part in parts if not large or part.slot == self._slot]

        return self._parts(name, f"whole {source}", wanted)

    def _parts(self, name: str, kind: str, wanted: Callable[[Sequence[Part]], list[Part]]) -> Found | None:
        """Some parts of a parcel. kind: of parcel; the next one of it is taken to be as large."""
        try:
            found = self._with_index(name, self._first_bytes(kind))
        except FrameError:
            return Found([])
        if found is None:
            return None
        data, put_s, index = found
        parts = [part for part in wanted(index) if part.end - part.start <= self._max_bytes]
        self._reach[kind] = max((part.end for part in parts), default=0)
        further = [part for part in parts if part.end > len(data)]
        start, end = min((part.start for part in further), default=0), max((part.end for part in further), default=0)
        tail = self._get(name, start, end) or NO_FRAME if further else NO_FRAME
        frames = {
            (part.start, part.end): tail[part.start - start : part.end - start]
            if part in further
            else data[part.start : part.end]
            for part in parts
        }
        return Found([(part.slot, frames[part.start, part.end]) for part in parts], put_s)

    def _with_index(self, name: str, first_bytes: int) -> tuple[bytes, float, list[Part]] | None:
        """The start of a parcel, its time and its index, for which more is read if it is longer than `first_bytes`.

        Raises:
            FrameError: if it has none.
        """
        data = self._get(name, 0, first_bytes)
        if data is None:
            return None
        try:
            return data, *stamped_index(data)
        except FrameError:
            if not first_bytes == len(data) < MOST_FIRST_BYTES:
                raise
        return self._with_index(name, MOST_FIRST_BYTES)

    def read(self, name: str, source: int = -1) -> Found | None:
        """Return the frame for this slot; None if there is none yet, NO_FRAME where there is something else.

        source: whose parcel it is; the next one of the same source is taken to be as large.

        Raises:
            TransportError: if the service refuses the call after all retries.
        """
        kind = f"own {source}"
        data = self._get(name, 0, self._first_bytes(kind))
        if data is None:
            return None
        try:
            put_s, index = stamped_index(data)
        except FrameError:
            return Found([(self._slot, NO_FRAME)])
        part = next((part for part in index if part.slot == self._slot), None)
        if part is None:
            return None
        self._reach[kind] = part.end
        frame = self._frame(name, data, part)
        return None if frame is None else Found([(self._slot, frame)], put_s)

    def _first_bytes(self, kind: str) -> int:
        return min(max(LEAST_FIRST_BYTES, self._reach.get(kind, 0) * 5 // 4), MOST_FIRST_BYTES)

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
