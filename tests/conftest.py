"""One embedded cloud for the whole test session, deployed once, with a counting proxy between the functions and it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from client.cloud import ROOT, CloudState, EmbeddedCloud, client_environment, free_port
from tests.proxy.counting_proxy import CountingProxy, start_proxy

if TYPE_CHECKING:
    from client.api import Client

SHARED = ROOT.parent / "shared"


@dataclass(frozen=True)
class Deployment:
    """A running cloud with the stack deployed; `proxy` counts what its functions do."""

    cloud: EmbeddedCloud
    state: CloudState
    client: Client
    proxy: CountingProxy | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell for `sls` and `fsd` on this cloud."""
        path = f"{ROOT / 'node_modules' / '.bin'}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, **client_environment(self.state), "PATH": path}

    def run(self, *command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command of that shell in the checkout."""
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )


def deploy(cloud: EmbeddedCloud, package: Path | None = None, **up: object) -> Deployment:
    """Start a cloud and deploy the stack; from an existing package where one is given."""
    from client.api import Client
    from client.target import find_stage

    state = cloud.up(**up)  # type: ignore[arg-type]
    client_of = Deployment(cloud, state, None)  # type: ignore[arg-type]
    words = ["sls", "deploy", *(("--package", str(package)) if package else ())]
    done = client_of.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return Deployment(cloud, state, Client(find_stage(cloud=cloud, environment={})))


@pytest.fixture(scope="session")
def stack_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack, packaged once for the embedded cloud."""
    folder = tmp_path_factory.mktemp("package")
    environment = {**os.environ, **client_environment(CloudState(0, 1, "")), "NODE_NO_WARNINGS": "1"}
    done = subprocess.run(
        [str(ROOT / "node_modules" / ".bin" / "sls"), "package", "--package", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, stack_package: Path) -> Iterator[Deployment]:
    """The session's cloud."""
    port = free_port()
    cloud = EmbeddedCloud(tmp_path_factory.mktemp("cloud"))
    proxy = start_proxy(f"http://127.0.0.1:{port}")
    try:
        made = deploy(cloud, stack_package, port=port, functions_endpoint=proxy.url)
        yield Deployment(made.cloud, made.state, made.client, proxy)
    finally:
        cloud.down()
        proxy.stop()


@pytest.fixture(scope="session")
def graphchallenge_data() -> Path:
    """The official Graph Challenge files, where they are at hand."""
    folder = SHARED / "data" / "graphchallenge"
    if not folder.is_dir():
        pytest.skip("the official Graph Challenge files are not at hand")
    return folder
