"""Objects in S3 as a run uses them: conditional writes, S3's own clock, typed misses."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_MISSING = {"NoSuchKey", "404", "NotFound"}
# DeleteObjects may fail for some keys of a batch, and the SDK repeats whole requests only.
DELETE_TRIES = 3
# 412: the condition does not hold; 409: another conditional write of the same key is under way.
_LOST = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


class ObjectTooLarge(Exception):
    """An object that is larger than its reader takes."""


@dataclass(frozen=True)
class Stored:
    """An object as read: its bytes, its entity tag, and by S3's clock when it was written and read (s since 1970)."""

    data: bytes
    etag: str
    now: float
    written_at: float = 0.0


class Objects:
    """One bucket. Keys are given whole."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def get(self, key: str, max_bytes: int | None = None) -> Stored | None:
        """The object, or None where there is none.

        Raises:
            ObjectTooLarge: it has more than `max_bytes`; nothing of it is read then.
        """
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        if max_bytes is not None and answer["ContentLength"] > max_bytes:
            answer["Body"].close()
            raise ObjectTooLarge(f"expected at most {max_bytes} bytes, got {answer['ContentLength']}")
        return Stored(answer["Body"].read(), answer["ETag"], _date(answer), answer["LastModified"].timestamp())

    def put(self, key: str, data: bytes) -> None:
        """Write, whatever is there."""
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def create(self, key: str, data: bytes) -> str | None:
        """Write where nothing is; the new entity tag, or None when somebody was first."""
        return self._conditional(key, data, {"IfNoneMatch": "*"})

    def replace(self, key: str, data: bytes, etag: str) -> str | None:
        """Write over the version `etag`; the new entity tag, or None when it has changed since."""
        return self._conditional(key, data, {"IfMatch": etag})

    def keys(self, prefix: str) -> Iterator[list[str]]:
        """The keys under a prefix, by the page."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            yield [entry["Key"] for entry in page.get("Contents", [])]

    def ages(self, prefix: str) -> Iterator[tuple[str, float, float]]:
        """Each key under a prefix, when it was written, and S3's clock then: seconds since 1970."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            now = _date(page)
            yield from ((entry["Key"], entry["LastModified"].timestamp(), now) for entry in page.get("Contents", []))

    def remove(self, key: str) -> None:
        """Delete one object, or none."""
        self._s3.delete_object(Bucket=self.bucket, Key=key)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete up to 1,000 objects, those that are not there included; again those that S3 did not delete."""
        for _ in range(DELETE_TRIES):
            if not keys:
                return
            wanted: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            answer = self._s3.delete_objects(Bucket=self.bucket, Delete=wanted)
            keys = [error["Key"] for error in answer.get("Errors", [])]

    def _conditional(self, key: str, data: bytes, condition: dict[str, Any]) -> str | None:
        try:
            answer = self._s3.put_object(Bucket=self.bucket, Key=key, Body=data, **condition)
        except ClientError as error:
            if _code(error) in _LOST | _MISSING:
                return None
            raise
        return answer["ETag"]


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _date(answer: Any) -> float:
    header = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
    return email.utils.parsedate_to_datetime(header).timestamp()
