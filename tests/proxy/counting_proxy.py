"""A counting HTTP proxy between AWS clients and an emulator: forwards unchanged, counts what it saw on the wire.

    proxy = start_proxy("http://127.0.0.1:4566")
    ... clients with endpoint_url=proxy.url ...
    proxy.counts()  ->  {"sqs:SendMessage": {"requests": 1, "units": 1, "bytes": 5}, ...}
    proxy.stop()

The Host header goes on as it was received, because signatures cover it. One thread and one upstream connection per
client connection, both kept alive; bodies are held in memory. A request is counted before its answer is sent on.
"""

from __future__ import annotations

import http.client
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.proxy.wire import Exchange, operation_of, payload_bytes

CHUNK = 64 * 1024
LONGEST_POLL_S = 300.0
_HOP_BY_HOP = frozenset(
    {"connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
)
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Record:
    """One counted request.

    units:      64 KiB chunks, at least 1, for SNS and SQS; 1 for the others; 0 for S3 answers of 500 and above.
    bytes:      payload bytes in either direction.
    status:     HTTP status that the client got.
    access_key: of the signature; empty when not signed.
    """

    operation: str
    units: int
    bytes: int
    status: int
    user_agent: str
    access_key: str


class CountingProxy:
    """A running proxy; made by start_proxy."""

    def __init__(self, upstream_url: str) -> None:
        address = urlsplit(upstream_url)
        self.upstream = (address.hostname or "127.0.0.1", address.port or 80)
        self._lock = threading.Lock()
        self._records: list[Record] = []
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def records(self) -> list[Record]:
        """Every request since the start or the last reset, in the order in which they were answered."""
        with self._lock:
            return list(self._records)

    def counts(self) -> Counts:
        """Requests, billed units and payload bytes by "service:Operation"."""
        return _add_up(self.records())

    def counts_by(self, wanted: Callable[[Record], bool]) -> Counts:
        """The counts of those requests that `wanted` accepts."""
        return _add_up(record for record in self.records() if wanted(record))

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._records.clear()

    def stop(self) -> None:
        """Stop listening; requests under way end with their connections."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, exchange: Exchange) -> None:
        """Add one exchange."""
        record = _record_of(exchange)
        with self._lock:
            self._records.append(record)


def start_proxy(upstream_url: str) -> CountingProxy:
    """A proxy on a free port of 127.0.0.1 before the server at upstream_url (http only)."""
    return CountingProxy(upstream_url)


def _record_of(exchange: Exchange) -> Record:
    operation = operation_of(exchange)
    size = payload_bytes(operation, exchange)
    return Record(
        operation=operation,
        units=_units(operation, size, exchange.status),
        bytes=size,
        status=exchange.status,
        user_agent=exchange.headers.get("user-agent", ""),
        access_key=exchange.scope[0],
    )


def _units(operation: str, size: int, status: int) -> int:
    if operation.startswith(("sns:", "sqs:")):
        full, rest = divmod(size, CHUNK)
        return max(full + (rest > 0), 1)
    return 0 if operation.startswith("s3:") and status >= 500 else 1


def _add_up(records: Iterable[Record]) -> Counts:
    counts: Counts = defaultdict(lambda: {"requests": 0, "units": 0, "bytes": 0})
    for record in records:
        count = counts[record.operation]
        count["requests"] += 1
        count["units"] += record.units
        count["bytes"] += record.bytes
    return dict(sorted(counts.items()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, proxy: CountingProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in the middle of a request is no error of the proxy."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    _upstream: http.client.HTTPConnection | None = None

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def handle_expect_100(self) -> bool:
        """Tell the client at once to go on: buffered, the line would reach it only with the answer."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def finish(self) -> None:
        """Close the upstream connection with the client's."""
        if self._upstream is not None:
            self._upstream.close()
        super().finish()

    def forward(self) -> None:
        """Send the request on, count it, and give its answer back."""
        body = self._read_body()
        try:
            status, reason, headers, answer = self._ask_upstream(body)
        except (OSError, http.client.HTTPException) as error:
            status, reason, headers, answer = 502, "Bad Gateway", [], f"proxy: {error!r}".encode()
        self._count(body, status, answer)
        self._reply(status, reason, headers, answer)

    do_DELETE = do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = forward

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(iter(self._read_chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _read_chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _ask_upstream(self, body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
        reused = self._upstream is not None
        try:
            return self._exchange(body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self._drop_upstream()
            if not reused:
                raise
            return self._exchange(body)  # an idle connection was closed by the server: it never saw the request

    def _exchange(self, body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
        if self._upstream is None:
            self._upstream = http.client.HTTPConnection(*self.server.proxy.upstream, timeout=LONGEST_POLL_S)
        self._send_upstream(self._upstream, body)
        response = self._upstream.getresponse()
        answer = response.read()
        if response.will_close:
            self._drop_upstream()
        return response.status, response.reason, response.getheaders(), answer

    def _send_upstream(self, upstream: http.client.HTTPConnection, body: bytes) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        if "Transfer-Encoding" in self.headers and "Content-Length" not in self.headers:
            upstream.putheader("Content-Length", str(len(body)))
        upstream.endheaders(body or None)

    def _drop_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
        self._upstream = None

    def _count(self, body: bytes, status: int, answer: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.proxy.count(Exchange(self.command, self.path, headers, body, status, answer))

    def _reply(self, status: int, reason: str, headers: list[tuple[str, str]], answer: bytes) -> None:
        self.send_response_only(status, reason)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers) and status not in (204, 304):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)
        self.wfile.flush()
