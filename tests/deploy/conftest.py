"""One `sls package` per target for the whole session."""

from __future__ import annotations

import pytest

from tests.deploy.packaging import Package, make_package


@pytest.fixture(scope="session")
def aws_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """What would be deployed to AWS, whatever Python runs here."""
    return make_package(tmp_path_factory.mktemp("aws"), "aws")


@pytest.fixture(scope="session")
def local_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """What is deployed to the embedded cloud: packages of the interpreter that runs here."""
    return make_package(tmp_path_factory.mktemp("local"), "local", stage="local")
