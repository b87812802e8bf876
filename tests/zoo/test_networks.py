"""The built networks: the contract on small ones, and what the real ones promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from zoo import OptionError, get_card
from zoo.networks.card import NetworkCard, evaluate
from zoo.networks.decoder import decoder
from zoo.networks.encoder import encoder
from zoo.networks.experts import experts
from zoo.networks.lstm import lstm
from zoo.networks.mobilenet import mobilenet
from zoo.networks.recommender import recommender
from zoo.networks.resnet import resnet
from zoo.networks.unet import unet
from zoo.networks.vit import vit
from zoo.testing import CardContract, session

# Options under which a card is small enough for tests, with enough of everything to be divided unevenly.
SMALL: dict[str, dict[str, object]] = {
    "decoder": {"layers": 1, "width": 64, "heads": 8, "kv_heads": 4, "inner": 96, "vocabulary": 100},
    "encoder": {"layers": 1, "width": 64, "vocabulary": 100, "positions": 32},
    "experts": {"layers": 1, "width": 64, "inner": 32, "vocabulary": 100},
    "lstm": {"layers": 1, "hidden": 16, "features": 24, "vocabulary": 100, "tags": 8},
    "mobilenet": {"stages": 2, "classes": 16},
    "recommender": {"rows": 200, "features": 16, "hidden": 32},
    "resnet": {"width": 8, "blocks": 1, "classes": 16},
    "unet": {"width": 8, "depth": 1},
    "vit": {"layers": 1, "width": 64, "image": 16, "classes": 16},
}
NETWORKS = sorted(SMALL)


class TestDecoder(CardContract):
    """The contract."""

    card, given, count = decoder, SMALL["decoder"], 3


class TestFusedDecoder(CardContract):
    """The contract."""

    card, given, count = decoder, {**SMALL["decoder"], "fused": True}, 3


class TestEncoder(CardContract):
    """The contract."""

    card, given, count = encoder, SMALL["encoder"], 3


class TestExperts(CardContract):
    """The contract."""

    card, given, count = experts, SMALL["experts"], 3


class TestLstm(CardContract):
    """The contract."""

    card, given, count = lstm, SMALL["lstm"], 3


class TestMobileNet(CardContract):
    """The contract."""

    card, given, count = mobilenet, SMALL["mobilenet"], 2


class TestRecommender(CardContract):
    """The contract."""

    card, given, count = recommender, SMALL["recommender"], 3


class TestResNet(CardContract):
    """The contract."""

    card, given, count = resnet, SMALL["resnet"], 2


class TestUnet(CardContract):
    """The contract."""

    card, given, count = unet, SMALL["unet"], 2


class TestUnetWithResize(CardContract):
    """The contract."""

    card, given, count = unet, {**SMALL["unet"], "transposed": False}, 2


class TestVit(CardContract):
    """The contract."""

    card, given, count = vit, SMALL["vit"], 2


def network(name: str) -> NetworkCard[Any]:
    """The card."""
    card = get_card(name)
    assert isinstance(card, NetworkCard)
    return card


@pytest.mark.parametrize("name", NETWORKS)
def test_each_has_at_least_four_million_weights(name: str) -> None:
    card = network(name)
    graph = card.graph(card.parse({})).graph
    weights = [w for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT]
    assert sum(int(np.prod(w.dims)) for w in weights) >= 4_000_000


@pytest.mark.parametrize("name", NETWORKS)
def test_seeds_give_other_weights_of_the_same_graph(name: str) -> None:
    card = network(name)
    first, second = (card.graph(card.parse({**SMALL[name], "seed": seed})) for seed in (0, 1))
    assert first.SerializeToString() != second.SerializeToString()
    assert first.graph.node == second.graph.node


@pytest.mark.parametrize("name", NETWORKS)
def test_the_batch_is_chosen_by_the_request(name: str, tmp_path: Path) -> None:
    card = network(name)
    options = card.parse(SMALL[name])
    model = session(card.build(options, tmp_path))
    for batch in (1, 4):
        for output in model.run(None, dict(card.inputs(options, batch))):
            assert len(output) == batch


def test_a_decoder_that_goes_on_from_its_own_cache_answers_as_if_it_had_read_all_at_once() -> None:
    options = decoder.parse(SMALL["decoder"])
    model = decoder.graph(options)
    whole = dict(decoder.inputs(options, 2, sequence=6, past=0))
    first = {**whole, "input_ids": whole["input_ids"][:, :4], "position_ids": whole["position_ids"][:, :4]}
    said = evaluate(model, {**first, "attention_mask": whole["attention_mask"][:, :4]})
    cache = {f"past_key_values.{name[8:]}": value for name, value in said.items() if name.startswith("present.")}
    rest = {"input_ids": whole["input_ids"][:, 4:], "position_ids": whole["position_ids"][:, 4:]}
    got = evaluate(model, {**whole, **rest, **cache})["logits"]
    np.testing.assert_allclose(got, evaluate(model, whole)["logits"][:, 4:], atol=1e-5)


def test_fused_ops_answer_what_single_ops_do() -> None:
    options = decoder.parse(SMALL["decoder"])
    inputs = decoder.inputs(options, 3)
    want, got = (evaluate(decoder.graph(replace(options, fused=fused)), inputs) for fused in (False, True))
    assert want.keys() == got.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, atol=1e-5)


def test_tokens_of_an_encoder_do_not_see_padding() -> None:
    options = encoder.parse(SMALL["encoder"])
    model = encoder.graph(options)
    inputs = dict(encoder.inputs(options, 4))
    padded = inputs["attention_mask"] == 0
    other = {**inputs, "input_ids": np.where(padded, 7, inputs["input_ids"])}
    got, want = (evaluate(model, x)["last_hidden_state"] for x in (other, inputs))
    assert padded.any()
    np.testing.assert_allclose(got[~padded], want[~padded], atol=1e-6)


def test_the_experts_that_were_not_chosen_say_nothing() -> None:
    options = experts.parse(SMALL["experts"])
    model = experts.graph(options)
    (gates,) = (node.output[0] for node in model.graph.node if node.op_type == "ScatterElements")
    model.graph.output.append(onnx.helper.make_tensor_value_info(gates, onnx.TensorProto.FLOAT, None))
    chosen = evaluate(model, experts.inputs(options, 2))[gates]
    np.testing.assert_array_equal((chosen != 0).sum(axis=1), options.chosen)
    np.testing.assert_allclose(chosen.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("decoder", {"width": 250}, "option width: expected a multiple of heads 16, got 250"),
        ("decoder", {"kv_heads": 3}, "option heads: expected a multiple of kv_heads 3, got 16"),
        ("encoder", {"heads": 7}, "option width: expected a multiple of heads 7, got 256"),
        ("experts", {"chosen": 9}, "option chosen: expected at most experts 8, got 9"),
        ("mobilenet", {"stages": 9}, "option stages: expected at most 8, got 9"),
        ("vit", {"image": 33}, "option image: expected a multiple of patch 8, got 33"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    name: str, given: dict[str, object], message: str, tmp_path: Path
) -> None:
    card = network(name)
    with pytest.raises(OptionError, match=f"{name}, {message}"):
        card.build(card.parse(given), tmp_path)


def test_a_size_that_a_card_does_not_have_is_refused() -> None:
    with pytest.raises(OptionError, match=r"encoder, sizes: expected some of \['sequence'\], got \['height'\]"):
        encoder.inputs(encoder.parse({}), 1, height=3)
