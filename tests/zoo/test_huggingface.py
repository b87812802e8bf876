"""`hf:OWNER/NAME`: really fetched from a server by huggingface_hub, with external data, and refused in one line."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from client.cli import main
from tests.zoo.hub_server import Hub, serving
from zoo import get_card
from zoo.errors import SourceError
from zoo.sources import locate

huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")

COMMIT = "0123456789abcdef" * 2 + "01234567"
NAME = "owner/my-model"
ONE_LINE = ["--workers", "2", "--strategy", "row", "--json"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("http_proxy", raising=False)
    with serving() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served
        huggingface_hub.close_session()


def publish(hub: Hub, **files: bytes) -> None:
    """Put files into the repository; `__` in a name is a slash, `_onnx` its suffix."""
    paths = {name.replace("__", "/").replace("_onnx", ".onnx"): content for name, content in files.items()}
    tree = [{"type": "file", "path": p, "size": len(c), "oid": "0" * 40} for p, c in paths.items()]
    hub.files[f"/api/models/{NAME}/tree/main"] = json.dumps(tree).encode()
    for path, content in paths.items():
        add(hub, path, content, hashlib.sha256(content).hexdigest())


def add(hub: Hub, path: str, content: bytes, etag: str) -> None:
    """A file at `main`, and at the commit that is."""
    for revision in ("main", COMMIT):
        address = f"/{NAME}/resolve/{revision}/{path}"
        hub.files[address] = content
        hub.headers[address] = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}


@pytest.fixture
def digits(tmp_path: Path) -> bytes:
    card = get_card("digits-mlp")
    return card.build(card.parse({}), tmp_path / "card").read_bytes()


def with_external_data(model: bytes, location: str, folder: Path) -> tuple[bytes, bytes]:
    """The model with its weights beside it in one file, and that file."""
    folder.mkdir()
    onnx.save(
        onnx.load_from_string(model),
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    moved = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in moved.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    return moved.SerializeToString(), (folder / "weights").read_bytes()


def test_the_only_model_of_a_repository_is_fetched_and_verified(
    hub: Hub, digits: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(hub, README=b"read me", digits_onnx=digits)
    assert main(["verify", f"hf:{NAME}", *ONE_LINE]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_external_data_is_fetched_from_the_same_commit(hub: Hub, digits: bytes, tmp_path: Path) -> None:
    model, weights = with_external_data(digits, "model.onnx_data", tmp_path / "made")
    publish(hub, onnx__model_onnx=model, onnx__model_quantized_onnx=digits)
    add(hub, "onnx/model.onnx_data", weights, hashlib.sha256(weights).hexdigest())
    del hub.files[f"/{NAME}/resolve/main/onnx/model.onnx_data"]  # the branch has moved on
    path = locate(f"hf:{NAME}", {}, tmp_path / "out")
    assert path == tmp_path / "out" / "onnx" / "model.onnx"
    assert not any(file.is_symlink() for file in path.parent.iterdir())
    assert (path.parent / "model.onnx_data").read_bytes() == weights
    onnx.checker.check_model(path)


def test_what_was_fetched_is_there_when_the_hub_is_not(
    hub: Hub, digits: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, a_onnx=digits, b_onnx=digits)
    locate(f"hf:{NAME}:a.onnx", {}, tmp_path / "first")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert locate(f"hf:{NAME}:a.onnx", {}, tmp_path / "second").read_bytes() == digits


def test_a_file_of_several_must_be_named(hub: Hub, digits: bytes, tmp_path: Path) -> None:
    publish(hub, a_onnx=digits, b_onnx=digits)
    with pytest.raises(SourceError, match=r"expected one \.onnx file, or a name after a colon, got 2: a.onnx, b.onnx"):
        locate(f"hf:{NAME}", {}, tmp_path)


def test_a_file_that_is_not_what_its_digest_says_is_refused(hub: Hub, digits: bytes, tmp_path: Path) -> None:
    publish(hub, model_onnx=digits)
    add(hub, "model.onnx", digits[:-1] + b"!", hashlib.sha256(digits).hexdigest())
    with pytest.raises(SourceError, match=f"expected sha256 {hashlib.sha256(digits).hexdigest()}, got another"):
        locate(f"hf:{NAME}", {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("location", ["../../../escape", "/etc/passwd", "a\\..\\b"])
def test_external_data_outside_of_the_repository_is_refused(
    hub: Hub, digits: bytes, location: str, tmp_path: Path
) -> None:
    publish(hub, model_onnx=with_external_data(digits, location, tmp_path / "made")[0])
    with pytest.raises(SourceError, match="expected a path inside of the repository"):
        locate(f"hf:{NAME}", {}, tmp_path / "out")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("hf:nobody", "expected hf:OWNER/NAME"),
        ("hf:owner/none", "model hf:owner/none: "),
        (f"hf:{NAME}:../../x.onnx", "expected a path inside of the repository"),
        (f"hf:{NAME}:none.onnx", f"model hf:{NAME}:none.onnx: "),
        (f"hf:{NAME}:README", "README: expected an ONNX model"),
        (f"hf:{NAME}", "expected one .onnx file, or a name after a colon, got none among 1 files"),
    ],
)
def test_the_command_line_says_in_one_line_why_there_is_no_model(
    hub: Hub, capsys: pytest.CaptureFixture[str], model: str, message: str
) -> None:
    publish(hub, README=b"read me")
    assert main(["verify", model]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SourceError, match="needs a package: pip install huggingface_hub"):
        locate(f"hf:{NAME}", {}, tmp_path)
