"""Versions of a model side by side on the cloud: asked for by bundle, given an alias, gone back to, and collected."""

from __future__ import annotations

import numpy as np
import pytest

from client.api import RunFailed
from client.cli import main
from tests.conftest import Deployment

X = {"x": np.ones((3, 1024), np.float32)}


def test_versions_are_inferred_aliased_rolled_back_and_collected(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in deployment.environment.items():
        monkeypatch.setenv(variable, value)
    client, store = deployment.client, deployment.client.stage
    old, new, lost = (
        client.register("graphchallenge-1024", name=name, strategy="serial", workers=1, options={"layers": layers})
        for name, layers in (("versioned", "1"), ("versioned", "2"), ("nameless", "3"))
    )

    def inferred(model: str) -> str:
        return str(client.infer(model, X).figures["version"])

    assert inferred(f"versioned@{old['bundle'][:8]}") == old["version"]
    assert inferred(f"versioned@{new['bundle'][:8]}") == inferred("versioned") == new["version"]
    assert main(["alias", "steady", f"versioned@{old['bundle'][:8]}"]) == 0
    assert inferred("steady") == old["version"]
    assert main(["rollback", "versioned"]) == 0
    assert inferred("versioned") == old["version"]

    store.s3.delete_object(Bucket=store.bucket, Key="models/nameless.json")  # as if whoever registered it had died
    assert main(["collect"]) == 0
    monkeypatch.setattr("client.api.YOUNG_S", 0.0)
    capsys.readouterr()
    assert main(["collect"]) == 0
    assert f"removed bundle {lost['bundle']}" in capsys.readouterr().out.splitlines()
    assert client.collect() == []
    assert inferred("steady") == old["version"]
    assert inferred(f"versioned@{new['bundle'][:8]}") == new["version"]

    assert main(["rm", "versioned"]) == 0  # the new bundle goes, the old one is steady's
    assert inferred("steady") == old["version"]
    for gone in (f"steady@{new['bundle'][:8]}", f"steady@{lost['bundle'][:8]}"):
        with pytest.raises(RunFailed) as failed:
            client.infer(gone, X)
        assert str(failed.value).count("\n") == 0
        assert f"expected one version '{gone.partition('@')[2]}', it has {old['bundle']}" in str(failed.value)
    client.remove("steady")
    assert client.collect() == []
    assert not [key for page in client._objects.keys("bundles/") for key in page if key.split("/")[1] in _of(old, new)]


def _of(*entries: dict[str, str]) -> set[str]:
    return {entry["bundle"] for entry in entries}
