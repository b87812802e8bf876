"""The proxy by itself: it changes nothing, misses nothing, and reads every wire form that clients use."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode, urlsplit

import pytest

from tests.proxy.counting_proxy import CountingProxy, start_proxy
from tests.proxy.wire import Exchange, operation_of, payload_bytes


class Echo(BaseHTTPRequestHandler):
    """Answers with the request as it arrived; holds back paths under /poll until everybody is there."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    together = threading.Barrier(20)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def reply(self) -> None:
        """Echo method, path, headers and body."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/poll"):
            self.together.wait(30)
        seen = {"method": self.command, "path": self.path, "headers": self.headers.items(), "body": body.hex()}
        self._answer(json.dumps(seen).encode())

    def _answer(self, answer: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Kept", "yes")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = reply


@pytest.fixture
def proxy() -> Iterator[CountingProxy]:
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    running = start_proxy(f"http://127.0.0.1:{upstream.server_address[1]}")
    yield running
    running.stop()
    upstream.shutdown()
    upstream.server_close()


def connect(proxy: CountingProxy) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=30)


@pytest.fixture
def client(proxy: CountingProxy) -> Iterator[http.client.HTTPConnection]:
    with closing(connect(proxy)) as connection:
        yield connection


def test_a_request_and_its_answer_pass_unchanged(client: http.client.HTTPConnection) -> None:
    headers = {"Host": "signed.example:99", "X-Twice": "a, b", "Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    client.request("PUT", "/b/a%2Fb%20c?x=1&y=%2F", body=b"\x00\xff\r\n", headers=headers)
    response = client.getresponse()
    seen = json.loads(response.read())
    assert response.headers["X-Kept"] == "yes"
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/b/a%2Fb%20c?x=1&y=%2F", "00ff0d0a")
    assert headers.items() <= dict(seen["headers"]).items()


def test_chunked_bodies_and_bodiless_answers_keep_the_connection_usable(
    proxy: CountingProxy, client: http.client.HTTPConnection
) -> None:
    client.request("PUT", "/b/k", body=iter([b"abc", b"defg"]), encode_chunked=True)
    assert json.loads(client.getresponse().read())["body"] == b"abcdefg".hex()
    client.request("HEAD", "/b/k")
    head = client.getresponse()
    assert (head.read(), int(head.headers["Content-Length"]) > 0) == (b"", True)
    client.request("GET", "/b/k")
    assert json.loads(client.getresponse().read())["method"] == "GET"
    assert [record.operation for record in proxy.records()] == ["s3:PutObject", "s3:HeadObject", "s3:GetObject"]


def test_an_upstream_that_is_gone_is_a_502_and_counted(
    proxy: CountingProxy, client: http.client.HTTPConnection
) -> None:
    proxy.upstream = ("127.0.0.1", 1)
    client.request("GET", "/b/k")
    response = client.getresponse()
    response.read()
    assert response.status == 502
    assert proxy.counts() == {"s3:GetObject": {"requests": 1, "units": 0, "bytes": 0}}


def test_long_polls_wait_side_by_side(proxy: CountingProxy) -> None:
    def poll(number: int) -> None:
        with closing(connect(proxy)) as client:
            client.request("GET", f"/poll/{number}")
            client.getresponse().read()

    threads = [threading.Thread(target=poll, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert proxy.counts()["s3:GetObject"]["requests"] == 20  # the server answers none before all have arrived


def test_totals_can_be_taken_by_client_and_forgotten(proxy: CountingProxy, client: http.client.HTTPConnection) -> None:
    for agent, key in (("worker", "AKWORK"), ("test", "AKTEST"), ("worker", "AKWORK")):
        scope = f"AWS4-HMAC-SHA256 Credential={key}/20261001/us-east-1/s3/aws4_request, Signature=0"
        client.request("DELETE", "/b/k", headers={"User-Agent": agent, "Authorization": scope})
        client.getresponse().read()
    one = {"requests": 1, "units": 1, "bytes": 0}
    assert proxy.counts_by(lambda record: record.access_key == "AKTEST") == {"s3:DeleteObject": one}
    assert proxy.counts_by(lambda record: record.user_agent == "worker")["s3:DeleteObject"]["requests"] == 2
    proxy.reset()
    assert proxy.counts() == {}


def exchange(method: str, target: str, headers: dict[str, str], body: bytes = b"", answer: bytes = b"") -> Exchange:
    return Exchange(method, target, headers, body, 200, answer)


@pytest.mark.parametrize(
    ("method", "host", "target", "operation"),
    [
        ("GET", "localhost:1", "/", "s3:ListBuckets"),
        ("GET", "localhost:1", "/b?list-type=2&prefix=runs%2F", "s3:ListObjectsV2"),
        ("GET", "b.s3.localhost:1", "/?list-type=2", "s3:ListObjectsV2"),
        ("GET", "b.s3.us-east-1.amazonaws.com", "/a/b", "s3:GetObject"),
        ("GET", "b.localhost:1", "/k", "s3:GetObject"),
        ("GET", "127.0.0.1:1", "/b/k", "s3:GetObject"),
        ("POST", "127.0.0.1:1", "/b?delete", "s3:DeleteObjects"),
        ("PUT", "127.0.0.1:1", "/b", "s3:CreateBucket"),
        ("PUT", "127.0.0.1:1", "/b?policy", "s3:PutBucketPolicy"),
        ("PUT", "127.0.0.1:1", "/b/k?partNumber=1&uploadId=u", "s3:UploadPart"),
        ("POST", "127.0.0.1:1", "/b/k?uploads", "s3:CreateMultipartUpload"),
        ("POST", "127.0.0.1:1", "/b/k?uploadId=u", "s3:CompleteMultipartUpload"),
        ("DELETE", "127.0.0.1:1", "/b/k?uploadId=u", "s3:AbortMultipartUpload"),
        ("POST", "127.0.0.1:1", "/2015-03-31/functions/f%3A1/invocations", "lambda:Invoke"),
    ],
)
def test_operations_are_read_from_method_host_and_path(method: str, host: str, target: str, operation: str) -> None:
    assert operation_of(exchange(method, target, {"host": host})) == operation


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


def test_the_older_query_protocol_of_sqs_is_read_too() -> None:
    fields = {
        "Action": "SendMessageBatch",
        "SendMessageBatchRequestEntry.1.Id": "not counted",
        "SendMessageBatchRequestEntry.1.MessageBody": "\u2603",
        "SendMessageBatchRequestEntry.1.MessageAttribute.1.Name": "n",
        "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType": "Binary",
        "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryValue": base64.b64encode(b"12345").decode(),
    }
    scope = "AWS4-HMAC-SHA256 Credential=k/20261001/us-east-1/sqs/aws4_request, Signature=0"
    sent = exchange("POST", "/", {**FORM, "authorization": scope}, urlencode(fields).encode())
    assert operation_of(sent) == "sqs:SendMessageBatch"
    assert payload_bytes("sqs:SendMessageBatch", sent) == 3 + 1 + 6 + 5


def test_messages_received_as_xml_are_read_too() -> None:
    answer = b"""<ReceiveMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ReceiveMessageResult>
        <Message><Body>four</Body><MessageId>not counted</MessageId>
        <MessageAttribute><Name>n</Name><Value><DataType>String</DataType><StringValue>vv</StringValue></Value>
        </MessageAttribute></Message><Message><Body>&lt;</Body></Message>
        </ReceiveMessageResult></ReceiveMessageResponse>"""
    assert payload_bytes("sqs:ReceiveMessage", exchange("POST", "/", {}, b"", answer)) == 4 + 1 + 6 + 2 + 1


def test_an_aws_chunked_upload_counts_its_decoded_length() -> None:
    sent = exchange("PUT", "/b/k", {"x-amz-decoded-content-length": "3"}, b"3\r\nabc\r\n0\r\n\r\n")
    assert payload_bytes(operation_of(sent), sent) == 3
