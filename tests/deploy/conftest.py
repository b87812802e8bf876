"""One `sls package` per target, and one embedded cloud, for the whole session."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from client.cloud import CloudState, EmbeddedCloud
from tests.deploy.packaging import Package, make_package


@pytest.fixture(scope="session")
def aws_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """What would be deployed to AWS, whatever Python runs here."""
    return make_package(tmp_path_factory.mktemp("aws"), "aws")


@pytest.fixture(scope="session")
def local_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """What is deployed to the embedded cloud: packages of the interpreter that runs here."""
    return make_package(tmp_path_factory.mktemp("local"), "local", stage="local")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudState]:
    """An embedded cloud that enforces IAM, beside whatever else runs."""
    running = EmbeddedCloud(tmp_path_factory.mktemp("iam"))
    try:
        with warnings.catch_warnings():
            # `up` lets go of the process on purpose: it outlives the command that started it.
            warnings.filterwarnings("ignore", "subprocess .* is still running", ResourceWarning)
            state = running.up(environment={"AUTH": "true"})
        yield state
    finally:
        running.down()
