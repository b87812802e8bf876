"""What the end-to-end tests share: real inputs, and models registered once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from tests.conftest import Deployment
from zoo.registry import get_card


@pytest.fixture(scope="session")
def digits() -> dict[str, NDArray[Any]]:
    """Twenty held-out digits."""
    card = get_card("digits-mlp")
    return dict(card.examples(card.parse({}), 20).inputs)


@pytest.fixture(scope="session")
def digits_expected(digits: dict[str, NDArray[Any]], tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    """What onnxruntime says of them."""
    card = get_card("digits-mlp")
    path = card.build(card.parse({}), tmp_path_factory.mktemp("digits"))
    answer: NDArray[np.float32] = ort.InferenceSession(path).run(["y"], digits)[0]
    return answer


@pytest.fixture(scope="session")
def registered_digits(deployment: Deployment) -> Callable[[str, int], str]:
    """Registers digits-mlp once per strategy and number of workers; the name it has."""

    @cache
    def register(strategy: str, workers: int) -> str:
        name = f"digits-{strategy}-{workers}"
        deployment.client.register("digits-mlp", name=name, strategy=strategy, workers=workers)
        return name

    return register


@pytest.fixture(scope="module")
def slow_model(deployment: Deployment) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """A sparse network of many exchanges over three workers: a run takes some seconds."""
    card = get_card("graphchallenge-1024")
    given = {"layers": str(60)}
    deployment.client.register(card.name, name="slow", strategy="row", workers=3, options=given)
    yield "slow", dict(card.examples(card.parse(given), 2_000).inputs)
    deployment.client.remove("slow")
