"""What outsiders can do to a run over the real services: nothing; and where its secrets are: nowhere to be read."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from numpy.typing import NDArray

from bundle.store import S3Store
from channels.frame import Frame, Header, pack_frame, run_tag
from channels.parcel import pack_parcel
from channels.tags import ABORT, Tag
from channels.text import to_text
from channels.transport import Key, Outgoing
from client.cloud import client_environment
from tests.conftest import Deployment
from tests.e2e.world import keys_under

Inputs = dict[str, NDArray[Any]]
Register = Callable[[str, int], str]
REGION = "us-east-1"


def client(deployment: Deployment, service: str) -> Any:
    """A client of the cloud's root user, who may do anything."""
    session: Any = boto3.session.Session("test", "test", region_name=REGION)
    return session.client(service, endpoint_url=deployment.cloud.require().endpoint)


def forged(run_id: str, slot: int) -> list[str]:
    """What somebody might put on a queue who knows the run, its attempt and its lane, but not its key."""
    texts = ["", "hello", "{}", to_text(b"\x00" * 100)]
    for step in (ABORT, 0, 1):
        for source in range(3):
            payload = b'{"reason": "forged"}'
            header = Header(run_tag(run_id), 1, 1, Tag(step), source, slot, 0, 1, len(payload))
            frame = pack_frame(Frame(header, payload), b"guess" * 8)
            texts += [to_text(frame), to_text(pack_parcel([Outgoing(Key(source, slot, Tag(step)), frame)]))]
    start = {"run_id": run_id, "attempt": 1, "slot": 1, "mac_key": "00" * 32}
    return [*texts, json.dumps({"requestPayload": start, "responsePayload": {"errorType": "Forged"}})]


def test_forged_messages_change_no_answer_and_cost_no_attempt(
    deployment: Deployment, slow_model: tuple[str, Inputs]
) -> None:
    (name, inputs), run_id = slow_model, uuid.uuid4().hex
    expected = deployment.client.infer(name, inputs).outputs["y"]
    sqs = client(deployment, "sqs")
    queues = [url for url in sqs.list_queues()["QueueUrls"] if "-lane-" in url and int(url.rsplit("-", 1)[1]) < 3]
    stop = threading.Event()

    def forge() -> None:
        while not stop.wait(0.2):
            for url in queues:
                texts = forged(run_id, int(url.rsplit("-", 1)[1]))
                for start in range(0, len(texts), 10):
                    entries = [{"Id": str(i), "MessageBody": t or " "} for i, t in enumerate(texts[start : start + 10])]
                    sqs.send_message_batch(QueueUrl=url, Entries=entries)

    thread = threading.Thread(target=forge)
    thread.start()
    try:
        answer = deployment.client.infer(name, inputs, run_id=run_id)
    finally:
        stop.set()
        thread.join()
        for url in queues:
            sqs.purge_queue(QueueUrl=url)
    assert np.array_equal(answer.outputs["y"], expected)
    assert answer.figures["attempts"] == 1


def test_a_runs_key_is_in_no_log_bundle_or_record(deployment: Deployment, slow_model: tuple[str, Inputs]) -> None:
    name, inputs = slow_model
    answer = deployment.client.infer(name, inputs, wait=False, wait_s=0.3)
    secret = _key_of(deployment, answer.run_id)
    assert deployment.client.result(answer.run_id, wait=True).status == "done"
    assert len(secret) == 64
    logged = _logs(deployment)
    assert any(answer.run_id in text for text in logged)
    assert not any(secret in text for text in (*logged, *_documents(deployment, answer.run_id)))


def _logs(deployment: Deployment) -> list[str]:
    """Everything that the functions have said."""
    stage = deployment.client.stage
    paginator = stage.logs.get_paginator("filter_log_events")
    groups = (f"/aws/lambda/{stage.function(name)}" for name in ("infer", "worker"))
    pages = (page for group in groups for page in paginator.paginate(logGroupName=group))
    return [event["message"] for page in pages for event in page["events"]]


def _documents(deployment: Deployment, run_id: str) -> list[str]:
    """What is left of a run, models' records, and manifests."""
    client = deployment.client
    bundles = [key for key in keys_under(client, "bundles/") if key.endswith("manifest.json")]
    store = S3Store(client.stage.s3, client.stage.bucket)
    left = (*keys_under(client, f"runs/{run_id}/"), *keys_under(client, "models/"), *bundles)
    return [store.get(key).decode(errors="replace") for key in left]


def _key_of(deployment: Deployment, run_id: str) -> str:
    """The secret of a run that is being handed over, while its progress is in the bucket."""
    store = S3Store(deployment.client.stage.s3, deployment.client.stage.bucket)
    until = time.monotonic() + 30
    while f"runs/{run_id}/progress.bin" not in keys_under(deployment.client, f"runs/{run_id}/"):
        assert time.monotonic() < until, "no progress was handed over"
        time.sleep(0.02)
    data = store.get(f"runs/{run_id}/progress.bin")
    return data.split(b'"mac_key": "')[1].split(b'"')[0].decode()


@pytest.fixture
def function_url(deployment: Deployment) -> Iterator[str]:
    """A function URL of `infer` as --param functionUrl=iam makes it, where the embedded cloud serves it."""
    functions, name = client(deployment, "lambda"), deployment.client.stage.function("infer")
    host = functions.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"].split("//")[1]
    yield f"{deployment.cloud.require().endpoint}/_aws/lambda-url/{host.split('.')[0]}/"
    functions.delete_function_url_config(FunctionName=name)


def post(deployment: Deployment, url: str, event: Any, *, signed: bool) -> tuple[int, Any]:
    """Status and JSON of a POST."""
    body = json.dumps(event).encode()
    request = AWSRequest("POST", url, data=body, headers={"content-type": "application/json"})
    if signed:
        values = client_environment(deployment.cloud.require())
        keys = Credentials(values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(keys, "lambda", REGION).add_auth(request)
    sent = urllib.request.Request(url, body, dict(request.headers), method="POST")
    try:
        with urllib.request.urlopen(sent, timeout=120) as response:
            status: int = response.status
            text = response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    return status, json.loads(text or b"null")


def test_the_function_url_answers_who_signs(
    deployment: Deployment, function_url: str, registered_digits: Register, digits: Inputs
) -> None:
    event = {"model": registered_digits("row", 2), "inputs": {"x": digits["x"][:1].tolist()}}
    status, answer = post(deployment, function_url, event, signed=True)
    assert (status, answer["status"]) == (200, "done")
    status, answer = post(deployment, function_url, {"model": "none", "inputs": {"x": [1]}}, signed=True)
    assert (status, answer["error"]["type"]) == (404, "model_not_found")
    status, answer = post(deployment, function_url, {"resume": "ab" * 16}, signed=True)
    assert (status, answer["error"]["type"]) == (400, "bad_request")


def test_the_function_url_refuses_who_does_not(deployment: Deployment, function_url: str) -> None:
    status, _ = post(deployment, function_url, {"model": "m", "inputs": {"x": [1]}}, signed=False)
    assert status == 403


@pytest.mark.parametrize("name", ["../runs/x", "a/b", "..", "A", "", "a" * 64, "x\n", "é"])
def test_a_models_name_cannot_leave_its_prefix(deployment: Deployment, name: str) -> None:
    asked = [invoke(deployment, "infer", {"model": name, "inputs": {"x": [1]}})]
    if name:  # none means the model's own
        event = {"model": "digits-mlp", "name": name, "strategy": "row", "workers": 2}
        asked.append(invoke(deployment, "register", event))
    assert {answer["status"] for answer in asked} == {"failed"}
    assert {key.count("/") for key in keys_under(deployment.client, "models/")} == {1}


def invoke(deployment: Deployment, function: str, event: Any) -> Any:
    """A function's answer, which is one, whatever it is asked."""
    stage = deployment.client.stage
    answer = stage.functions.invoke(FunctionName=stage.function(function), Payload=json.dumps(event).encode())
    assert answer.get("FunctionError", "") == ""
    return json.loads(answer["Payload"].read())


@pytest.mark.parametrize(
    "uri", ["s3://somebody-elses/x.npz", "s3://{bucket}/models/m.json", "s3://{bucket}/lanes/0.json"]
)
def test_inputs_come_only_from_buckets_that_are_allowed(
    deployment: Deployment, registered_digits: Register, uri: str
) -> None:
    event = {"model": registered_digits("row", 2), "inputs_uri": uri.format(bucket=deployment.client.stage.bucket)}
    assert invoke(deployment, "infer", event)["error"]["type"] == "bad_request"
