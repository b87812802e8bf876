"""`hub:NAME`: really fetched from a server, checked against its manifest, kept, and refused in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.cli import main
from tests.zoo.hub_server import Hub, serving
from zoo import get_card
from zoo.errors import SourceError
from zoo.onnx_hub import MANIFEST
from zoo.sources import default_name, is_card, locate


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("ONNX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("http_proxy", raising=False)
    with serving() as served:
        monkeypatch.setenv("FSD_ONNX_HUB", served.address)
        yield served


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    card = get_card("digits-mlp")
    return card.build(card.parse({}), tmp_path / "card").read_bytes()


def publish(hub: Hub, content: bytes, path: str = "vision/digits/model/digits-7.onnx", **changed: Any) -> None:
    """Put a model into the hub and its manifest."""
    entry = {
        "model": "Digits",
        "model_path": path,
        "opset_version": 7,
        "metadata": {"model_sha": hashlib.sha256(content).hexdigest(), "model_bytes": len(content)},
    }
    entry["metadata"] |= changed.pop("metadata", {})
    entries = json.loads(hub.files.get(f"/{MANIFEST}", b"[]"))
    hub.files[f"/{MANIFEST}"] = json.dumps([*entries, {**entry, **changed}]).encode()
    hub.files[f"/{path}"] = content


def test_a_model_is_fetched_checked_and_verified(
    hub: Hub, content: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    publish(hub, content)
    assert locate("hub:digits", {}, tmp_path).read_bytes() == content
    assert main(["verify", "hub:digits", "--workers", "2", "--strategy", "row", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_what_was_fetched_is_not_fetched_again(hub: Hub, content: bytes, tmp_path: Path) -> None:
    publish(hub, content)
    first, second = locate("hub:digits", {}, tmp_path), locate("hub:digits", {}, tmp_path)
    assert first == second
    assert first.name == f"{hashlib.sha256(content).hexdigest()}_digits-7.onnx"
    assert hub.asked.count("GET /vision/digits/model/digits-7.onnx") == 1


def test_what_was_fetched_is_there_when_the_hub_is_not(
    hub: Hub, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, content)
    locate("hub:digits", {}, tmp_path)
    monkeypatch.setenv("FSD_ONNX_HUB", "http://127.0.0.1:9")
    assert locate("hub:digits", {}, tmp_path).read_bytes() == content


def test_a_damaged_file_of_the_cache_is_fetched_again(hub: Hub, content: bytes, tmp_path: Path) -> None:
    publish(hub, content)
    path = locate("hub:digits", {}, tmp_path)
    path.write_bytes(b"damaged")
    assert locate("hub:digits", {}, tmp_path).read_bytes() == content


def test_the_newest_opset_is_taken_unless_another_is_asked_for(hub: Hub, content: bytes, tmp_path: Path) -> None:
    publish(hub, content)
    newer = content + b"\x32\x00"  # an empty producer: still a model
    publish(hub, newer, "vision/digits/model/digits-12.onnx", opset_version=12)
    assert locate("hub:digits", {}, tmp_path).read_bytes() == newer
    assert locate("hub:digits@7", {}, tmp_path).read_bytes() == content
    with pytest.raises(SourceError, match=r"hub:digits: expected one of the opsets \[7, 12\], got 9"):
        locate("hub:digits@9", {}, tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metadata": {"model_sha": "0" * 64}}, f"expected sha256 {'0' * 64}, got "),
        ({"metadata": {"model_bytes": 10}}, "expected at most 10 bytes, got more"),
        ({"metadata": {"model_sha": None}}, "expected a sha256 in the manifest, got 'None'"),
        ({"metadata": {"model_sha": "../../../x"}}, "expected a sha256 in the manifest"),
        ({"model_path": "../../escape.onnx"}, "expected the path of an .onnx file, got '../../escape.onnx'"),
        ({"model_path": "/tmp/escape.onnx"}, "expected the path of an .onnx file"),
        ({"model_path": "a/.hidden/..\\x.onnx"}, "expected the path of an .onnx file"),
        ({"model_path": "a/model.tar.gz"}, "expected the path of an .onnx file"),
        ({"model_path": "a/missing.onnx"}, "HTTP Error 404"),
    ],
)
def test_what_is_not_as_the_manifest_says_is_refused_and_not_kept(
    hub: Hub, content: bytes, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    publish(hub, content, **changed)
    with pytest.raises(SourceError) as error:
        locate("hub:digits", {}, tmp_path / "out")
    assert message in str(error.value)
    assert str(error.value).isprintable()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and "card" not in path.parts]
    assert [path.name for path in kept] == [MANIFEST]


@pytest.mark.parametrize("manifest", [b"{", b"{}", b"\xff", b'"text"'])
def test_a_manifest_that_is_none_is_refused(hub: Hub, manifest: bytes, tmp_path: Path) -> None:
    hub.files[f"/{MANIFEST}"] = manifest
    with pytest.raises(SourceError, match=MANIFEST):
        locate("hub:digits", {}, tmp_path)


def test_a_server_cannot_lead_to_a_file_of_this_machine(hub: Hub, tmp_path: Path) -> None:
    hub.redirects[f"/{MANIFEST}"] = "file:///etc/passwd"
    with pytest.raises(SourceError, match=MANIFEST):
        locate("hub:digits", {}, tmp_path)


@pytest.mark.parametrize(
    ("model", "address", "message"),
    [
        ("hub:digits", "http://127.0.0.1:9", "Connection refused"),
        ("hub:digits", "file:///etc", "expected an address of http or https"),
        ("hub:", "http://127.0.0.1:9", "expected hub:NAME or hub:NAME@OPSET"),
        ("hub:a@b", "http://127.0.0.1:9", "expected hub:NAME or hub:NAME@OPSET"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_the_command_line_says_in_one_line_why_there_is_no_model(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    address: str,
    message: str,
) -> None:
    monkeypatch.setenv("FSD_ONNX_HUB", address)
    assert main(["verify", model]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_model_of_a_hub_is_no_card_and_has_a_name() -> None:
    assert not is_card("hub:ResNet50")
    assert default_name("hub:ResNet50@12") == "resnet50"
    assert default_name("hf:owner/My.Model@main:onnx/model.onnx") == "my.model"


def test_functions_do_not_read_hubs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="hub:digits: hubs are not read here; `fsd register` reads them"):
        locate("hub:digits", {}, tmp_path, hubs=False)
