"""The clients of a function: counted, made once and late, and without what a cold start would pay for."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import NoRegionError

from costs.meter import Meter
from runs.aws import LazyClients


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("function", ["infer", "worker", "models"])
def test_a_function_that_serves_loads_no_boto3(function: str) -> None:
    program = (
        f"import sys, handlers.{function}; print([name for name in ('boto3', 's3transfer') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"


def test_a_client_is_made_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = LazyClients(Meter())
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(NoRegionError):
        _ = clients.sqs
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert clients.sqs.meta.region_name == "eu-west-1"
    assert clients.sqs is clients.sqs


def test_clients_can_be_made_by_several_threads_at_once() -> None:
    clients = LazyClients(Meter())
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda name: getattr(clients, name), ["s3", "sns", "sqs", "functions"] * 8))
    assert {client.meta.service_model.service_name for client in made} == {"s3", "sns", "sqs", "lambda"}
    assert len({id(client) for client in made}) == 4


def test_s3_moves_files_of_any_size_as_boto3_does() -> None:
    s3 = LazyClients(Meter()).s3
    with pytest.raises(ValueError, match="Filename must be a string"):
        s3.upload_file(b"", "bucket", "key")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Filename must be a string"):
        s3.download_file("bucket", "key", b"")  # type: ignore[arg-type]
