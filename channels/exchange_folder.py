"""What a run keeps under a prefix of its own on S3 while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from channels.errors import ConfigError
from channels.retry import Backoff, Failure, send_in_parts, service_errors
from costs.limits import S3_DELETE_KEYS

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


class ExchangeFolder:
    """Objects of one run.

    prefix: the run's own, "runs/<run_id>/x/": all that is exchanged lies under it, and clearing empties it.
    """

    def __init__(self, s3: S3Client, bucket: str, prefix: str, run_id: str) -> None:
        if f"/{run_id}/" not in prefix or not prefix.endswith("/"):
            raise ConfigError(f"exchange prefix: expected one of run {run_id} alone, got {prefix!r}")
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix

    def put(self, name: str, body: bytes) -> None:
        """Write one object.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        with service_errors("s3 put_object"):
            self._s3.put_object(Bucket=self._bucket, Key=name, Body=body)

    def clear(self, backoff: Backoff, sleep: Callable[[float], None]) -> None:
        """Delete every object of the run, of all attempts.

        Raises:
            TransportError: if the service refuses it after all retries.
        """
        for names in self._pages():
            send_in_parts("s3 delete_objects", names, self._delete_once, backoff, sleep)

    def _pages(self) -> Iterator[list[str]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, PaginationConfig={"PageSize": S3_DELETE_KEYS.value}
        )
        with service_errors(f"s3 list_objects_v2 {self._prefix}"):
            for page in pages:
                if names := [entry["Key"] for entry in page.get("Contents", [])]:
                    yield names

    def _delete_once(self, names: Sequence[str]) -> Sequence[Failure]:
        with service_errors("s3 delete_objects"):
            response = self._s3.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True}
            )
        return [Failure(names.index(e["Key"]), e.get("Code", "unknown")) for e in response.get("Errors", [])]
