"""Faults of AWS meet the SDK's real retries: what it bears, the service never sees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from chaos.desk import Desk
from chaos.faults import Fault
from chaos.injector import Injector
from chaos.requests import RequestFaults
from tests.chaos.ends import RUN_ID


class Server(ThreadingHTTPServer):
    """Says yes to everything, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert isinstance(self.server, Server)
        self.server.seen.append(f"{self.command} {self.path}")
        self.send_response(202 if "/invocations" in self.path else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def client(server: Server, service: str, faults: RequestFaults, tries: int = 5) -> Any:
    session: Any = boto3.session.Session("key", "secret", region_name="us-east-1")
    made = session.client(
        service,
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        config=Config(retries={"mode": "standard", "total_max_attempts": tries}, s3={"addressing_style": "path"}),
    )
    faults.attach(made)
    return made


def among(folder: Path, *planned: Fault) -> RequestFaults:
    faults = RequestFaults()
    faults.begin(Injector(Desk(folder), RUN_ID, planned), 1, 0)
    return faults


@pytest.mark.parametrize("kind", ["throttle", "server_error", "disconnect"])
def test_what_aws_did_not_do_is_asked_again(tmp_path: Path, server: Server, kind: str) -> None:
    s3 = client(server, "s3", among(tmp_path, Fault(kind, 1, 0, 1, times=2)))
    for _ in range(2):
        s3.put_object(Bucket="b", Key="k", Body=b"x")
    assert len(server.seen) == 2
    assert [note["kind"] for note in Desk(tmp_path).notes()] == [kind]


def test_what_aws_did_and_did_not_say_is_asked_again(tmp_path: Path, server: Server) -> None:
    s3 = client(server, "s3", among(tmp_path, Fault("lost_answer", 1, 0, 0)))
    s3.put_object(Bucket="b", Key="k", Body=b"x")
    assert server.seen == ["PUT /b/k"] * 2


def test_an_answer_is_lost_only_where_the_call_may_be_repeated(tmp_path: Path, server: Server) -> None:
    s3 = client(server, "s3", among(tmp_path, Fault("lost_answer", 1, 0, 0)))
    s3.get_object(Bucket="b", Key="k")["Body"].read()
    assert Desk(tmp_path).notes() == []


def start(server: Server, faults: RequestFaults) -> None:
    """Start slot 1 of the first attempt."""
    functions = client(server, "lambda", faults, tries=1)
    functions.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"attempt": 1, "slot": 1}')


@pytest.mark.parametrize(("kind", "arrive"), [("duplicate_start", 2), ("never_start", 0)])
def test_a_start_arrives_twice_or_never(tmp_path: Path, server: Server, kind: str, arrive: int) -> None:
    start(server, among(tmp_path, Fault(kind, 1, 1)))
    assert len(server.seen) == arrive


def test_a_throttled_start_is_an_error_of_the_sdk(tmp_path: Path, server: Server) -> None:
    with pytest.raises(ClientError, match="TooManyRequests"):
        start(server, among(tmp_path, Fault("throttled_start", 1, 1)))
    assert server.seen == []


def test_the_start_of_another_slot_is_left_alone(tmp_path: Path, server: Server) -> None:
    start(server, among(tmp_path, Fault("never_start", 1, 2)))
    assert len(server.seen) == 1
