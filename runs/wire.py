"""Calls of SQS and SNS, and those of S3 that move parts of objects, over the standard library's HTTP client.

Ranks make so many small calls that what the SDK takes for one is half of their CPU time on a small network. Of that,
urllib3 takes a third more than http.client does for the same request: kept connections and small answers are all that
is needed here. Everything else stays the SDK's: it hands over a signed request and takes its answer, and what goes
wrong is raised as its own errors, so that it tries again as ever.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.utils import get_environ_proxies

_BYTES = (bytes, io.BytesIO, type(None))
SMALL_BYTES = 1 << 16  # of a request: to copy it costs less than another packet


def attach(client: Any, ca_bundle: str) -> None:
    """Let a client send its requests this way from now on, unless the environment names a proxy for its endpoint.

    client: of botocore. Of S3 only PUTs of bytes, and GETs of a range, go this way: what others get may be a stream.
    ca_bundle: file of the certificates that https trusts.
    """
    if not get_environ_proxies(client.meta.endpoint_url):
        endpoint, config = client._endpoint, client.meta.config
        streams = client.meta.service_model.service_name == "s3"
        wire = Wire(endpoint.http_session, streams, config.connect_timeout, config.read_timeout, ca_bundle)
        endpoint.http_session = wire
        weakref.finalize(client, wire.close)


class Body(io.BytesIO):
    """A body that is here, read as the SDK reads one that is still to come."""

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


class _InOnePiece(http.client.HTTPConnection):
    """Sends head and body together, if they are small: what comes in two pieces the other side reads twice."""

    def exchange(self, request: AWSPreparedRequest, target: str) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer."""
        self._pieces: list[bytes] = []
        self.putrequest(request.method, target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() != "expect":  # nobody waits for a "100 Continue" here; it is not signed
                self.putheader(name, value)
        self.endheaders(_bytes_of(request.body))
        small = sum(map(len, self._pieces)) <= SMALL_BYTES
        for piece in [b"".join(self._pieces)] if small else self._pieces:
            super().send(piece)
        return self.getresponse()

    def send(self, data: Any) -> None:
        """Keep a piece, of bytes."""
        self._pieces.append(data)


class _OverTls(_InOnePiece, http.client.HTTPSConnection):
    """The same over TLS."""


@dataclass
class Wire:
    """Stands where the SDK's session does. Connections are used by one thread at a time, and kept for the next request.

    others: the SDK's own session. streams: whether it sends what may have a stream for an answer.
    connect_s, read_s: seconds. ca_bundle: file.
    """

    others: Any
    streams: bool
    connect_s: float
    read_s: float
    ca_bundle: str
    _idle: dict[tuple[str, str], deque[_InOnePiece]] = field(default_factory=dict)

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """The answer to a request.

        Raises:
            HTTPClientError: of the kinds that the SDK's own session raises.
        """
        if self.streams and not _is_bounded(request):
            return cast("AWSResponse", self.others.send(request))
        url = urlsplit(request.url)
        idle = self._idle.setdefault((url.scheme, url.netloc), deque())
        connection = self._kept(idle) or self._opened(url.scheme, url.netloc, request.url)
        with contextlib.ExitStack() as unless_whole:
            unless_whole.callback(connection.close)
            try:
                answer = connection.exchange(request, _target(url))
                body = answer.read()
            except TimeoutError as error:
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
            except (OSError, http.client.HTTPException) as error:
                raise ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
            unless_whole.pop_all()
        if connection.sock is not None:  # else the answer said that it is the last one
            idle.append(connection)
        return AWSResponse(request.url, answer.status, cast("Any", dict(answer.getheaders())), Body(body))

    def close(self) -> None:
        """Close what is not in use."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()
        self.others.close()

    def _kept(self, idle: deque[_InOnePiece]) -> _InOnePiece | None:
        """The connection that was used last and is still open."""
        with contextlib.suppress(IndexError):
            while True:
                connection = idle.pop()
                if not _is_readable(connection.sock):
                    return connection
                connection.close()  # the other side has ended it
        return None

    def _opened(self, scheme: str, host: str, url: str) -> _InOnePiece:
        connection = (
            _OverTls(host, timeout=self.connect_s, context=self._tls)
            if scheme == "https"
            else _InOnePiece(host, timeout=self.connect_s)
        )
        try:
            connection.connect()
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=url, error=error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=url, error=error) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=url, error=error) from error
        connection.sock.settimeout(self.read_s)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_bundle)


def _is_bounded(request: AWSPreparedRequest) -> bool:
    """Whether a request to S3 has bytes to put, or a range to get."""
    bounded = "Range" in request.headers if request.method == "GET" else request.method == "PUT"
    return bounded and isinstance(request.body, _BYTES)


def _target(url: SplitResult) -> str:
    path = url.path or "/"
    return f"{path}?{url.query}" if url.query else path


def _bytes_of(body: Any) -> bytes | None:
    if isinstance(body, io.BytesIO):  # what the SDK makes of bytes for S3
        return body.getvalue()[body.tell() :]
    return body.encode() if isinstance(body, str) else body


def _is_readable(sock: socket.socket) -> bool:
    """Whether there is anything to read where no answer is due: only an end, or what should not be there."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
