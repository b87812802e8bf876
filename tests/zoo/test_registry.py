"""Discovery of cards: built-in, and from real distributions on sys.path."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import PluginError, PluginWarning, UnknownCard, card_names, get_card, list_cards
from zoo.registry import BUILT_IN

CARD = """
from zoo import Card, NoOptions

class MyCard(Card[NoOptions]):
    summary = "a card of somebody else"
    options = NoOptions
    def __init__(self, name): self.name = name
    def build(self, options, folder): raise NotImplementedError
    def examples(self, options, count): raise NotImplementedError
    def check(self, outputs, examples): raise NotImplementedError
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with one module and entry points of the group `fsd.zoo` on sys.path."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(dist: str, code: str, **cards: str) -> None:
        module = dist.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
        entries = "".join(f"{name.replace('_', '-')} = {module}:{target}\n" for name, target in cards.items())
        (info / "entry_points.txt").write_text(f"[fsd.zoo]\n{entries}")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def test_every_built_in_card_loads_under_its_name() -> None:
    assert {get_card(name).name for name in BUILT_IN} == set(BUILT_IN)


def test_card_of_an_installed_distribution_is_found(install: Install) -> None:
    install("acme-cards", CARD + "my_card = MyCard('my-card')", my_card="my_card")
    assert "my-card" in card_names()
    assert get_card("my-card").summary == "a card of somebody else"
    assert [card.name for card in list_cards()] == sorted([*BUILT_IN, "my-card"])


def test_names_are_known_without_importing_any_card(install: Install) -> None:
    install("never-imported", "raise SystemExit('imported')", my_card="my_card")
    assert "my-card" in card_names()
    assert get_card("digits-mlp").name == "digits-mlp"
    assert "never_imported" not in sys.modules


def test_importing_the_zoo_imports_no_card_and_no_onnx() -> None:
    code = "import sys, zoo; zoo.card_names(); print([m for m in sys.modules if m in ('onnx', 'zoo.digits')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "does not load: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('two\\nlines')", "does not load: RuntimeError: two lines"),
        ("other = 1", "does not load: AttributeError: module 'broken_cards' has no attribute 'my_card'"),
        ("my_card = 5", "expected a zoo.Card object, got 5"),
        (CARD + "my_card = MyCard", "expected a zoo.Card object, got <class 'broken_cards.MyCard'>"),
        (CARD + "my_card = MyCard('other-name')", "expected the card's own name to be the entry point's"),
    ],
)
def test_broken_plugin_warns_and_harms_nobody(install: Install, code: str, reason: str) -> None:
    install("broken-cards", code, my_card="my_card")
    with pytest.warns(PluginWarning) as caught:
        names = [card.name for card in list_cards()]
    assert names == sorted(BUILT_IN)
    message = str(caught[0].message)
    assert message.startswith("card 'my-card' of broken-cards 1.2 (broken_cards:my_card)")
    assert reason in message
    assert message.isprintable()


def test_asking_for_a_broken_card_names_the_distribution(install: Install) -> None:
    install("broken-cards", "import no_such_module", my_card="my_card")
    with pytest.raises(PluginError, match=r"card 'my-card' of broken-cards 1\.2 .* No module named 'no_such_module'"):
        get_card("my-card")


def test_name_that_breaks_the_rules_is_refused(install: Install) -> None:
    install("rude-cards", CARD + "card = MyCard('../Card')", **{"../Card": "card"})
    with pytest.raises(PluginError, match="to match"):
        get_card("../Card")


def test_name_offered_by_two_plugins_raises_and_names_both(install: Install) -> None:
    install("first-cards", CARD + "my_card = MyCard('my-card')", my_card="my_card")
    install("second-cards", CARD + "my_card = MyCard('my-card')", my_card="my_card")
    with pytest.raises(PluginError, match=r"first-cards 1\.2 .* and second-cards 1\.2 .*: remove all but one"):
        get_card("my-card")
    with pytest.warns(PluginWarning, match="remove all but one"):
        assert "my-card" not in [card.name for card in list_cards()]


def test_plugin_cannot_take_a_built_in_name(install: Install) -> None:
    install("thief-cards", CARD + "mine = MyCard('digits-mlp')", digits_mlp="mine")
    with pytest.warns(PluginWarning, match=r"thief-cards 1\.2 .* taken by a built-in card, ignored"):
        card = get_card("digits-mlp")
    assert type(card).__module__ == "zoo.digits"


def test_unknown_name_lists_the_known_ones_and_how_to_add_one(install: Install) -> None:
    install("acme-cards", CARD + "my_card = MyCard('my-card')", my_card="my_card")
    with pytest.raises(UnknownCard) as error:
        get_card("digit-mlp\n")
    message = str(error.value)
    assert "did you mean 'digits-mlp'?" in message
    assert ", ".join(sorted([*BUILT_IN, "my-card"])) in message
    assert "entry point of the group 'fsd.zoo'" in message
    assert message.isprintable()


def test_without_plugins_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list_cards()
