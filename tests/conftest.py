"""One embedded cloud for the whole test session, deployed once, with a counting proxy between the functions and it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from client.cloud import ROOT, EmbeddedCloud, client_environment, free_port
from tests.proxy.counting_proxy import CountingProxy, start_proxy

if TYPE_CHECKING:
    from client.api import Client


def pytest_addoption(parser: pytest.Parser) -> None:
    """Contract tests against a real account run only when asked for."""
    parser.addoption(
        "--aws", action="store_true", help="run the tests marked aws against the account of the environment"
    )


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the session's cloud: `make test` runs it beside the rest, which does not wait as much."""
    for item in items:
        if isinstance(item, pytest.Function) and "running_cloud" in item.fixturenames:
            item.add_marker(pytest.mark.cloud)


SHARED = ROOT.parent / "shared"


def shell_environment(cloud: EmbeddedCloud) -> dict[str, str]:
    """Environment of a shell for `sls` and `fsd` on this cloud."""
    path = f"{ROOT / 'node_modules' / '.bin'}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, **client_environment(cloud.require()), "PATH": path}


def shell(cloud: EmbeddedCloud, *command: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
    """Run a command of that shell in the checkout."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=shell_environment(cloud),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@dataclass(frozen=True)
class Deployment:
    """A running cloud with the stack deployed; `proxy` counts what its functions do."""

    cloud: EmbeddedCloud
    client: Client
    proxy: CountingProxy | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell for `sls` and `fsd` on this cloud."""
        return shell_environment(self.cloud)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of that shell in the checkout."""
        return shell(self.cloud, *command)


def deploy(cloud: EmbeddedCloud, package: Path, proxy: CountingProxy | None = None) -> Deployment:
    """Deploy a package of the stack to a running cloud."""
    from client.api import Client
    from client.target import find_stage

    done = shell(cloud, "sls", "deploy", "--package", str(package))
    assert done.returncode == 0, done.stdout + done.stderr
    return Deployment(cloud, Client(find_stage(cloud=cloud, environment={})), proxy)


@dataclass(frozen=True)
class RunningCloud:
    """An embedded cloud whose functions reach it through a counting proxy."""

    cloud: EmbeddedCloud
    proxy: CountingProxy


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """The session's cloud, empty."""
    port = free_port()
    cloud = EmbeddedCloud(tmp_path_factory.mktemp("cloud"))
    proxy = start_proxy(f"http://127.0.0.1:{port}")
    try:
        cloud.up(port=port, functions_endpoint=proxy.url)
        yield RunningCloud(cloud, proxy)
    finally:
        cloud.down()
        proxy.stop()


@pytest.fixture(scope="session")
def stack_package(running_cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack, packaged once for the embedded cloud."""
    folder = tmp_path_factory.mktemp("package")
    done = shell(running_cloud.cloud, "sls", "package", "--package", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def deployment(running_cloud: RunningCloud, stack_package: Path) -> Deployment:
    """The stack on the session's cloud."""
    return deploy(running_cloud.cloud, stack_package, running_cloud.proxy)


@pytest.fixture(scope="session")
def graphchallenge_data() -> Path:
    """The official Graph Challenge files, where they are at hand."""
    folder = SHARED / "data" / "graphchallenge"
    if not folder.is_dir():
        pytest.skip("the official Graph Challenge files are not at hand")
    return folder
