"""Requests by the standard library's HTTP client: the same on the wire, and when things go wrong."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError, SSLError
from botocore.httpsession import where
from botocore.session import get_session

from costs.hook import attach as count
from costs.meter import Meter
from runs import wire

ANSWER = b'{"Messages":[{"MessageId":"1","ReceiptHandle":"r","Body":"b"}]}'


@dataclass
class Service:
    """A server that answers as SQS does, unless it is told what to do with its next requests.

    todo: "close": answers and says that the connection ends; "hang up": ends it silently after the answer; "drop":
          ends it in the middle of the answer; "sleep": answers late; "refuse": 400.
    """

    port: int = 0
    todo: list[str] = field(default_factory=list)
    connections: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)


def handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            service.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.requests.append((self.requestline, dict(self.headers.items()), body))
            todo = service.todo.pop(0) if service.todo else ""
            if todo == "sleep":
                time.sleep(1.5)
            self.send_response(400 if todo == "refuse" else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(ANSWER)))
            if todo == "close":
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(ANSWER[:10] if todo == "drop" else ANSWER)
            self.close_connection = todo in ("close", "drop", "hang up")

        def do_PUT(self) -> None:
            service.requests.append((self.requestline, dict(self.headers.items()), b""))
            service.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(200, b"")

        def do_GET(self) -> None:
            service.requests.append((self.requestline, dict(self.headers.items()), b""))
            data = service.objects.get(self.path, b"")
            if not data:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            elif "Range" in self.headers:
                start, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
                self._answer(206, data[int(start) : int(end) + 1])
            else:
                self._answer(200, data)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def served(made: Service, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server for this service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    with served(made) as made.port:
        yield made


def client(
    endpoint: str, *, attach: bool = True, bundle: str = "", attempts: int = 3, meter: Meter | None = None
) -> Any:
    session = get_session()
    session.set_credentials("test", "test")
    config = Config(
        connect_timeout=2,
        read_timeout=1,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent="test",
    )
    made = session.create_client("sqs", region_name="us-east-1", endpoint_url=endpoint, config=config)
    if meter is not None:
        count(made, meter)
    if attach:
        wire.attach(made, bundle)
    return made


def s3_client(service: Service) -> Any:
    session = get_session()
    session.set_credentials("test", "test")
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    made = session.create_client("s3", region_name="us-east-1", endpoint_url=http(service), config=config)
    wire.attach(made, "")
    return made


def receive(made: Any, service: Service) -> Any:
    return made.receive_message(QueueUrl=f"http://127.0.0.1:{service.port}/000000000000/ä queue", WaitTimeSeconds=1)


def http(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def test_request_and_answer_are_what_they_are_by_the_sdk(service: Service) -> None:
    answers = [receive(client(http(service), attach=attach), service) for attach in (True, False)]
    ours, theirs = answers
    for answer in answers:
        for name in ("date", "server"):
            del answer["ResponseMetadata"]["HTTPHeaders"][name]
    assert ours == theirs
    assert ours["Messages"][0]["Body"] == "b"
    (line, headers, body), (their_line, their_headers, their_body) = service.requests
    for changing in ("X-Amz-Date", "Authorization", "amz-sdk-invocation-id"):
        assert headers.pop(changing)
        their_headers.pop(changing)
    assert (line, body) == (their_line, their_body)
    assert headers == {name: value for name, value in their_headers.items() if name != "Accept-Encoding"}


def test_a_connection_is_kept_and_one_that_was_ended_is_not_used(service: Service) -> None:
    meter = Meter()
    made = client(http(service), meter=meter)
    for _ in range(3):
        receive(made, service)
    assert service.connections == 1
    for todo in ("close", "hang up"):
        service.todo.append(todo)
        receive(made, service)
        time.sleep(0.1)  # until the end of the connection is here
        receive(made, service)
    assert service.connections == 3
    assert meter.snapshot()["sqs:ReceiveMessage"].requests == 7, "nothing was tried twice"


def test_threads_have_connections_of_their_own(service: Service) -> None:
    made = client(http(service))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: receive(made, service), range(40)))
    assert all(answer["Messages"] for answer in answers)
    assert 1 <= service.connections <= 4
    assert len({headers["amz-sdk-invocation-id"] for _, headers, _ in service.requests}) == 40


def test_the_sdk_tries_again_what_was_cut_short(service: Service) -> None:
    meter = Meter()
    service.todo += ["drop", "drop"]
    assert receive(client(http(service), meter=meter), service)["Messages"]
    assert meter.snapshot()["sqs:ReceiveMessage"].requests == 3


def test_errors_are_those_of_the_sdk(service: Service) -> None:
    service.todo += ["refuse", "sleep"]
    made = client(http(service), attempts=1)
    with pytest.raises(ClientError, match="400"):
        receive(made, service)
    with pytest.raises(ReadTimeoutError):
        receive(made, service)
    assert receive(made, service)["Messages"], "goes on over a new connection"
    with pytest.raises(EndpointConnectionError):
        receive(client("http://127.0.0.1:9", attempts=1), Service(port=9))


@pytest.mark.parametrize("size", [1, 1 << 15, 1 << 17, 3 << 20])
def test_parts_of_objects_come_whole_and_as_they_were_put(service: Service, size: int) -> None:
    s3, data = s3_client(service), bytes(range(256)) * (size // 256) or b"x"
    s3.put_object(Bucket="bucket", Key="a/ä b", Body=data)
    assert service.objects == {"/bucket/a/%C3%A4%20b": data}
    part = s3.get_object(Bucket="bucket", Key="a/ä b", Range="bytes=0-99")
    with part["Body"] as body:
        assert body.read() == data[:100]
    assert part["ContentLength"] == len(data[:100])
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="bucket", Key="none", Range="bytes=0-99")
    assert service.connections == 1
    assert not any("Expect" in headers for _, headers, _ in service.requests)


def test_what_may_be_a_stream_is_left_to_the_sdk(service: Service, tmp_path: Path) -> None:
    s3, path = s3_client(service), tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        s3.put_object(Bucket="bucket", Key="k", Body=file)
    ours = service.connections
    with s3.get_object(Bucket="bucket", Key="k")["Body"] as body:
        assert body.read(4) == b"0123"
        assert body.read() == b"456789"
    assert service.connections == ours == 1
    s3.get_object(Bucket="bucket", Key="k", Range="bytes=0-1")["Body"].close()
    assert service.connections == 2, "a connection beside the SDK's"
    s3.close()


def test_what_listens_to_requests_may_answer_in_the_services_place(service: Service) -> None:
    made = client(http(service), attempts=1)
    made.meta.events.register(
        "before-send.sqs",
        lambda request, **_: AWSResponse(request.url, 503, {}, wire.Body()),  # type: ignore[arg-type]
    )
    with pytest.raises(ClientError, match="503"):
        receive(made, service)
    assert not service.requests, "nothing was sent"


def test_https_trusts_the_given_certificates_only(service: Service, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*made, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with served(service, context) as port:
        endpoint = f"https://localhost:{port}"
        trusting = client(endpoint, bundle=str(certificate))
        url = f"{endpoint}/000000000000/queue"
        for _ in range(2):
            assert trusting.receive_message(QueueUrl=url)["Messages"]
        assert service.connections == 1
        with pytest.raises(SSLError):
            client(endpoint, bundle=where(), attempts=1).receive_message(QueueUrl=url)


@pytest.mark.parametrize(("excepted", "direct"), [("", False), ("127.0.0.1", True)])
def test_where_the_environment_names_a_proxy_it_is_left_to_the_sdk(
    service: Service, monkeypatch: pytest.MonkeyPatch, excepted: str, direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{service.port}")
    monkeypatch.setenv("NO_PROXY", excepted)
    answer = client(http(service)).receive_message(QueueUrl=f"{http(service)}/000000000000/queue")
    assert answer["Messages"]
    assert service.requests[0][0].startswith(f"POST {'' if direct else http(service)}/")
