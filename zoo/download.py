"""Files by http: bounded, checked, and in place only when they are whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib import request
from urllib.error import HTTPError

from zoo.errors import SourceError

TIMEOUT_S = 30.0
_BLOCK = 1 << 20


def read(address: str, limit_bytes: int) -> bytes:
    """What an address holds.

    Raises:
        SourceError: it cannot be read, or is larger than limit_bytes.
    """
    return b"".join(_blocks(address, limit_bytes))


def download(address: str, path: Path, sha256: str, limit_bytes: int) -> None:
    """Fetch a file; `path` exists only once it is whole and has this digest.

    Raises:
        SourceError: it cannot be read, is larger than limit_bytes, or has another digest.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
        part = Path(folder) / "part"
        digest = _save(address, part, limit_bytes)
        if digest != sha256:
            raise SourceError(f"{address}: expected sha256 {sha256}, got {digest}")
        os.replace(part, path)


def _save(address: str, path: Path, limit_bytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in _blocks(address, limit_bytes):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blocks(address: str, limit_bytes: int) -> Iterator[bytes]:
    received = 0
    try:
        with closing(_open(address)) as response:
            while block := response.read(_BLOCK):
                received += len(block)
                if received > limit_bytes:
                    raise SourceError(f"{address}: expected at most {limit_bytes} bytes, got more")
                yield block
    except (HTTPException, OSError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise SourceError(f"{address}: {' '.join(str(error).split()) or type(error).__name__}") from error


def _open(address: str) -> HTTPResponse:
    """A response; only http and https are followed, wherever a server redirects to."""
    if not address.startswith(("http://", "https://")):
        raise SourceError(f"{address[:200]}: expected an address of http or https")
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    response: HTTPResponse = opener.open(address, timeout=TIMEOUT_S)
    return response
