"""The SDK's own retries are counted: a real client, its real retries, and a real server that fails."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, ReadTimeoutError

from costs import CallCount, Meter, attach
from tests.costs.conftest import client_of, free_port

ANSWERS = {"GET": b"object", "PUT": b"", "POST": b"{}"}


@dataclass
class FlakyServer:
    """Answers the first `failures` requests with `status`, the others with 200; remembers what it was sent."""

    failures: int = 0
    status: int = 503
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        self.bodies.append(body)
        return (self.status, b"") if len(self.bodies) <= self.failures else (200, ANSWERS[method])


class Handler(BaseHTTPRequestHandler):
    """Answers as `flaky` says."""

    protocol_version = "HTTP/1.1"
    flaky: FlakyServer

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def reply(self) -> None:
        """Read the request, give the answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.flaky.answer(self.command, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = reply


@pytest.fixture
def flaky() -> Iterator[FlakyServer]:
    state = FlakyServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"flaky": state}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()


def patient(mode: str) -> Config:
    retries = {"total_max_attempts": 4, "mode": mode}
    return Config(retries=retries, s3={"addressing_style": "path"})  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["standard", "legacy"])
def test_every_attempt_of_a_send_is_counted(flaky: FlakyServer, mode: str) -> None:
    flaky.failures = 2
    meter, client = Meter(), client_of("sqs", flaky.url, patient(mode))
    attach(client, meter)
    client.send_message(QueueUrl=f"{flaky.url}/0/q", MessageBody="x" * 65_537)
    assert len(flaky.bodies) == 3
    assert meter.snapshot() == {"sqs:SendMessage": CallCount(requests=3, units=6, bytes=3 * 65_537)}


def test_an_s3_answer_of_500_and_above_is_a_request_that_is_not_charged(flaky: FlakyServer) -> None:
    flaky.failures = 2
    meter, client = Meter(), client_of("s3", flaky.url, patient("standard"))
    attach(client, meter)
    client.put_object(Bucket="b", Key="k", Body=b"x" * 10)
    client.get_object(Bucket="b", Key="k")["Body"].read()
    assert meter.snapshot() == {"s3:GetObject": CallCount(1, 1, 6), "s3:PutObject": CallCount(3, 1, 30)}


def test_a_call_that_fails_for_good_counts_all_its_attempts(flaky: FlakyServer) -> None:
    flaky.failures = 99
    meter, client = Meter(), client_of("sns", flaky.url, patient("standard"))
    attach(client, meter)
    with pytest.raises(ClientError, match="503"):
        client.publish(TopicArn="arn:aws:sns:us-east-1:0:t", Message="four")
    assert meter.snapshot() == {"sns:Publish": CallCount(requests=4, units=4, bytes=16)}


def test_an_attempt_without_answer_is_counted() -> None:
    meter, client = Meter(), client_of("s3", f"http://127.0.0.1:{free_port()}")
    attach(client, meter)
    with pytest.raises(EndpointConnectionError):
        client.put_object(Bucket="b", Key="k", Body=b"12345")
    assert meter.snapshot() == {"s3:PutObject": CallCount(1, 1, 5)}


def test_a_receive_whose_answer_is_lost_is_one_unit() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # listens, and never serves
    config = Config(read_timeout=0.2, retries={"total_max_attempts": 1})
    meter, client = Meter(), client_of("sqs", f"http://127.0.0.1:{server.server_address[1]}", config)
    attach(client, meter)
    with pytest.raises(ReadTimeoutError):
        client.receive_message(QueueUrl="http://127.0.0.1/0/q")
    server.server_close()
    assert meter.snapshot() == {"sqs:ReceiveMessage": CallCount(1, 1, 0)}


def test_attaching_twice_counts_once_and_two_meters_count_each(flaky: FlakyServer) -> None:
    first, second, client = Meter(), Meter(), client_of("s3", flaky.url)
    for meter in (first, first, second):
        attach(client, meter)
    client.put_object(Bucket="b", Key="k", Body=b"12345")
    assert first.snapshot() == second.snapshot() == {"s3:PutObject": CallCount(1, 1, 5)}


def test_a_session_counts_the_clients_made_after_it_was_attached(flaky: FlakyServer) -> None:
    meter, session = Meter(), boto3.session.Session("test", "test", region_name="us-east-1")
    before = session.client("s3", endpoint_url=flaky.url)
    attach(session, meter)
    after = session.client("s3", endpoint_url=flaky.url)
    before.put_object(Bucket="b", Key="k", Body=b"12345")
    after.put_object(Bucket="b", Key="k", Body=b"123")
    assert meter.snapshot() == {"s3:PutObject": CallCount(1, 1, 3)}


def test_a_call_with_wrong_parameters_is_refused_by_the_sdk_and_not_counted(flaky: FlakyServer) -> None:
    meter, client = Meter(), client_of("sqs", flaky.url)
    attach(client, meter)
    with pytest.raises(ParamValidationError):
        client.send_message_batch(QueueUrl="q", Entries=[7])
    assert meter.snapshot() == {}


def test_an_upload_in_aws_chunked_encoding_counts_the_object_alone() -> None:
    meter, client = Meter(), client_of("s3", f"https://127.0.0.1:{free_port()}")  # over TLS the checksum is a trailer
    headers: list[dict[str, str]] = []
    client.meta.events.register("before-send.s3", lambda request, **_: headers.append(dict(request.headers)))
    attach(client, meter)
    with pytest.raises(EndpointConnectionError):
        client.put_object(Bucket="b", Key="k", Body=io.BytesIO(b"x" * 70_000))
    assert "X-Amz-Decoded-Content-Length" in headers[0]
    assert meter.snapshot() == {"s3:PutObject": CallCount(1, 1, 70_000)}
