"""A real embedded cloud behind the counting proxy, and clients of it."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.proxy.counting_proxy import CountingProxy, start_proxy

MINISTACK = Path(__file__).parents[2] / ".venv" / "cloud" / "bin" / "ministack"
START_S = 60.0
NO_RETRY = Config(retries={"total_max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"})


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def client_of(service: str, url: str, config: Config = NO_RETRY) -> Any:
    """A client with fixed false credentials; untyped, as its type depends on the service's name."""
    return _session().client(service, endpoint_url=url, config=config)


@functools.cache
def _session() -> Any:
    return boto3.session.Session("test", "test", region_name="us-east-1")  # one: it reads the service models once


@pytest.fixture(scope="session")
def cloud_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded cloud's address."""
    if not MINISTACK.exists():
        pytest.skip("needs the embedded cloud: .venv/cloud is not installed")
    folder = tmp_path_factory.mktemp("ministack")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(folder), "AWS_ENDPOINT_URL": url}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([MINISTACK], env={**os.environ, **settings}, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until_healthy(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the cloud answers; fail when it ended or takes longer than START_S."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ministack ended with status {process.returncode}"
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"ministack not healthy within {START_S} s")


@pytest.fixture
def proxy(cloud_url: str) -> Iterator[CountingProxy]:
    """A fresh counting proxy before the cloud."""
    running = start_proxy(cloud_url)
    yield running
    running.stop()
