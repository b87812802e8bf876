"""One compiled bundle answers requests of any batch and size: sizes are the request's, not the registration's."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.store import FolderStore
from client.verify import reference
from client.verify_compare import compare
from client.verify_run import run_ranks
from partition import compile_to_store
from tests.zoo.test_networks import SMALL, network

Request = tuple[int, dict[str, int]]  # batch, and the card's other sizes

REQUESTS: dict[str, list[Request]] = {
    "decoder": [(2, {}), (1, {"sequence": 7, "past": 0}), (1, {"sequence": 1, "past": 12}), (5, {"sequence": 2})],
    "encoder": [(3, {}), (1, {"sequence": 1}), (1, {"sequence": 29}), (7, {"sequence": 2})],
    "experts": [(2, {}), (1, {"sequence": 1}), (4, {"sequence": 11})],
    "lstm": [(2, {}), (1, {"sequence": 1}), (4, {"sequence": 9})],
    "mobilenet": [(2, {}), (1, {"height": 33, "width": 70}), (5, {"height": 16, "width": 16})],
    "recommender": [(2, {}), (1, {"bag": 1}), (7, {"bag": 9})],
    "resnet": [(2, {}), (1, {"height": 64, "width": 33}), (5, {"height": 32, "width": 32})],
    "unet": [(2, {}), (1, {"height": 6, "width": 10}), (4, {"height": 8, "width": 2})],
}


@pytest.mark.parametrize("strategy", ["batch", "column", "row"])
@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_requests_of_several_sizes_are_answered_by_one_bundle(name: str, strategy: str, tmp_path: Path) -> None:
    card = network(name)
    options = card.parse(SMALL[name])
    path, store = card.build(options, tmp_path / "model"), FolderStore(tmp_path / "store")
    manifest = compile_to_store(store, path, strategy, 3)
    for batch, sizes in REQUESTS[name]:
        inputs = card.inputs(options, batch, **sizes)
        difference = compare(reference(path, inputs), run_ranks(store, manifest, inputs).outputs)
        assert difference.ok, (batch, sizes, difference.problems)
