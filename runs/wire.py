"""SQS and SNS over the standard library's HTTP client.

Ranks make so many small calls that what the SDK takes for one is half of their CPU time on a small network. Of that,
urllib3 takes a third more than http.client does for the same request: kept connections and small answers are all that
is needed here. Everything else stays the SDK's: the event `before-send` hands over a signed request and takes its
answer, and what goes wrong is raised as its own errors, so that it tries again as ever.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.utils import get_environ_proxies


def attach(client: Any, ca_bundle: str) -> None:
    """Let a client send its requests this way from now on, unless the environment names a proxy for its endpoint.

    client: of botocore; none of its answers may be streams.
    ca_bundle: file of the certificates that https trusts.
    """
    if not get_environ_proxies(client.meta.endpoint_url):
        wire = Wire(client.meta.config.connect_timeout, client.meta.config.read_timeout, ca_bundle)
        client.meta.events.register("before-send", wire.send, unique_id="runs.wire")
        weakref.finalize(client, wire.close)


@dataclass(frozen=True)
class _Answer:
    """What AWSResponse reads a body from."""

    body: bytes

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        yield self.body


class _InOnePiece(http.client.HTTPConnection):
    """Sends head and body together: what comes in two pieces the other side reads twice."""

    def exchange(self, request: AWSPreparedRequest, target: str) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer."""
        self._pieces: list[bytes] = []
        self.putrequest(request.method, target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            self.putheader(name, value)
        body: Any = request.body
        self.endheaders(body.encode() if isinstance(body, str) else body)
        super().send(b"".join(self._pieces))
        return self.getresponse()

    def send(self, data: Any) -> None:
        """Keep a piece, of bytes."""
        self._pieces.append(data)


class _OverTls(_InOnePiece, http.client.HTTPSConnection):
    """The same over TLS."""


@dataclass
class Wire:
    """Connections to endpoints, each used by one thread at a time and kept for the next request.

    connect_s, read_s: seconds. ca_bundle: file.
    """

    connect_s: float
    read_s: float
    ca_bundle: str
    _idle: dict[tuple[str, str], deque[_InOnePiece]] = field(default_factory=dict)

    def send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """The answer to a request.

        Raises:
            HTTPClientError: of the kinds that the SDK's own session raises.
        """
        url = urlsplit(request.url)
        idle = self._idle.setdefault((url.scheme, url.netloc), deque())
        connection = self._kept(idle) or self._opened(url.scheme, url.netloc, request.url)
        try:
            answer = connection.exchange(request, f"{url.path or '/'}?{url.query}" if url.query else url.path or "/")
            status, headers, body = answer.status, answer.getheaders(), answer.read()
        except TimeoutError as error:
            connection.close()
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # else the answer said that it is the last one
            idle.append(connection)
        return AWSResponse(request.url, status, cast("Any", dict(headers)), _Answer(body))

    def close(self) -> None:
        """Close what is not in use."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

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


def _is_readable(sock: socket.socket) -> bool:
    """Whether there is anything to read where no answer is due: only an end, or what should not be there."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
