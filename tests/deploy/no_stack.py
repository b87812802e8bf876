"""An AWS account in which no stack exists yet: all that `sls package` asks for, and a record of what it asked."""

from __future__ import annotations

import contextlib
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MISSING = """<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type>
<Code>ValidationError</Code><Message>Stack with id {stack} does not exist</Message></Error></ErrorResponse>"""


class _Account(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.actions: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    server: _Account

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.actions.append(form.get("Action", [self.path])[0])
        self._send(_MISSING.format(stack=form.get("StackName", [""])[0]).encode())

    def do_GET(self) -> None:
        self.server.actions.append(f"GET {self.path}")
        self._send(b"")

    do_PUT = do_HEAD = do_GET

    def _send(self, body: bytes) -> None:
        self.send_response(400)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def account_without_stacks() -> Iterator[tuple[str, list[str]]]:
    """Its endpoint, and the list of actions asked for so far."""
    with _Account() as account:
        thread = threading.Thread(target=account.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{account.server_address[1]}", account.actions
        finally:
            account.shutdown()
            thread.join()
