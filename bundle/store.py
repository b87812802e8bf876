"""Where bundles, records and runs are kept: a folder, or an S3 bucket. Keys are relative paths with "/".

`view` and `put_file` exist for what does not fit into memory twice: shards.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bundle.errors import BundleError, InvalidNameError, MissingKeyError, TooLargeError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MAX_OBJECT_BYTES = 10 << 30  # a Lambda function has at most 10,240 MB of memory
_KEY = re.compile(r"[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*")
_DELETE_BATCH = 1000  # DeleteObjects takes at most 1,000 keys


class Store(Protocol):
    """A flat map from keys to bytes."""

    def get(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> bytes:
        """The bytes under a key.

        Raises:
            MissingKeyError: if there are none.
            TooLargeError: if there are more than max_bytes; nothing is read then.
        """
        ...

    def view(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> memoryview:
        """Read-only bytes under a key, memory-mapped where the store can. Raises as `get` does."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store bytes under a key, in one piece: a reader sees all of them or the former ones."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Store a file's bytes under a key without holding them in memory."""
        ...

    def list(self, prefix: str) -> Sequence[str]:
        """The keys that start with `prefix`, sorted."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove keys; one that does not exist is no error."""
        ...


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        InvalidNameError: if it could leave the store's root or is not portable.
    """
    if not _KEY.fullmatch(key) or any(set(part) == {"."} for part in key.split("/")):
        raise InvalidNameError(f"key: expected names of letters, digits, '_.=-' joined by '/', got {key[:100]!r}")
    return key


class FolderStore:
    """A Store in a folder of this machine."""

    def __init__(self, path: Path | str) -> None:
        self._root = Path(path)

    def get(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> bytes:
        """The bytes of a file. Raises as Store.get does."""
        return self._existing(key, max_bytes).read_bytes()

    def view(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> memoryview:
        """A file, memory-mapped. Raises as Store.get does."""
        path = self._existing(key, max_bytes)
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def put(self, key: str, data: bytes) -> None:
        """Write a file under another name, then rename it."""
        target = self._target(key)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".put-", delete=False) as file:
            file.write(data)
        os.replace(file.name, target)

    def put_file(self, key: str, path: Path) -> None:
        """Copy a file, inside the kernel where that can be, then rename it."""
        target = self._target(key)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".put-", delete=False) as file:
            pass
        shutil.copyfile(path, file.name)
        os.replace(file.name, target)

    def list(self, prefix: str) -> Sequence[str]:
        """The keys that start with `prefix`, sorted."""
        files = (path for path in self._root.rglob("*") if path.is_file() and not path.name.startswith(".put-"))
        keys = (path.relative_to(self._root).as_posix() for path in files)
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, keys: Sequence[str]) -> None:
        """Remove files."""
        for key in keys:
            (self._root / check_key(key)).unlink(missing_ok=True)

    def _target(self, key: str) -> Path:
        path = self._root / check_key(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _existing(self, key: str, max_bytes: int) -> Path:
        path = self._root / check_key(key)
        if not path.is_file() or not path.resolve().is_relative_to(self._root.resolve()):
            raise MissingKeyError(f"store: nothing under {key!r}")
        _check_size(key, path.stat().st_size, max_bytes)
        return path


class S3Store:
    """A Store in an S3 bucket, through a client that is handed in."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def get(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> bytes:
        """One GetObject. Raises as Store.get does."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=check_key(key))
        except self._client.exceptions.NoSuchKey as error:
            raise MissingKeyError(f"store: nothing under {key!r} in bucket {self._bucket!r}") from error
        with answer["Body"] as body:
            _check_size(key, answer["ContentLength"], max_bytes)
            data: bytes = body.read()
        return data

    def view(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> memoryview:
        """One GetObject, into memory. Raises as Store.get does."""
        return memoryview(self.get(key, max_bytes))

    def put(self, key: str, data: bytes) -> None:
        """One PutObject."""
        self._client.put_object(Bucket=self._bucket, Key=check_key(key), Body=data)

    def put_file(self, key: str, path: Path) -> None:
        """A managed upload: several parts where the file is large."""
        self._client.upload_file(str(path), self._bucket, check_key(key))

    def list(self, prefix: str) -> Sequence[str]:
        """The keys that start with `prefix`, sorted."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def delete(self, keys: Sequence[str]) -> None:
        """DeleteObjects, 1,000 keys at a time.

        Raises:
            BundleError: if S3 kept one of them.
        """
        for start in range(0, len(keys), _DELETE_BATCH):
            batch: list[Any] = [{"Key": check_key(key)} for key in keys[start : start + _DELETE_BATCH]]
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
            _refuse_kept(answer.get("Errors", []))


def _refuse_kept(errors: Sequence[Any]) -> None:
    if errors:
        first = errors[0]
        raise BundleError(f"store: {len(errors)} keys were not deleted; {first.get('Key')!r}: {first.get('Code')}")


def _check_size(key: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise TooLargeError(f"store: expected at most {max_bytes} bytes under {key!r}, got {size_bytes}")
