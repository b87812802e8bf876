"""`sls package` of a copy of the checkout, so that neither its `.serverless` nor a deploy beside it is disturbed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from client.cloud import ROOT
from tests.deploy.no_stack import account_without_stacks

TIMEOUT_S = 600
_LINKED = ("node_modules", ".venv")
_INHERITED = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_FIND_LINKS")


@dataclass(frozen=True)
class Package:
    """What `sls package` made: the template, and the unzipped artifacts.

    runtime, compiler: the layers' folders as they appear under /opt; code: the functions' /var/task.
    actions: AWS actions that packaging asked for.
    """

    template: dict[str, Any]
    runtime: Path
    compiler: Path
    code: Path
    actions: tuple[str, ...]

    def resources(self, kind: str) -> dict[str, Any]:
        """The template's resources of one type, by logical id."""
        return {name: item for name, item in self.template["Resources"].items() if item["Type"] == kind}

    def properties(self, kind: str) -> list[dict[str, Any]]:
        """The properties of these resources."""
        return [item["Properties"] for item in self.resources(kind).values()]


def copy_checkout(folder: Path) -> Path:
    """Copy what git would track, with the installed packages and the build cache linked; the copy's folder."""
    copy = folder / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules", "*.egg-info"))
    for name in _LINKED:
        (copy / name).symlink_to(ROOT / name)
    (ROOT / ".fsd" / "build").mkdir(parents=True, exist_ok=True)
    (copy / ".fsd").mkdir()
    (copy / ".fsd" / "build").symlink_to(ROOT / ".fsd" / "build")
    return copy


def run_sls(
    checkout: Path, target: str, endpoint: str, *words: str, stage: str = "dev"
) -> subprocess.CompletedProcess[str]:
    """Run `sls` in `checkout` for `target` ("aws" or "local"), with its AWS calls going to `endpoint`."""
    return subprocess.run(
        [str(checkout / "node_modules" / ".bin" / "sls"), *words, "--stage", stage],
        cwd=checkout,
        env=_environment(target, endpoint),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def make_package(folder: Path, target: str, stage: str = "dev", parameters: Sequence[str] = ()) -> Package:
    """Package the checkout for `target` and `stage`, and unzip what came out below `folder`.

    parameters: of the stage, like "lanes=2".
    """
    made = folder / "made"
    with account_without_stacks() as (endpoint, actions):
        words = ["package", "--package", str(made), *(word for text in parameters for word in ("--param", text))]
        done = run_sls(copy_checkout(folder), target, endpoint, *words, stage=stage)
    assert done.returncode == 0, done.stdout + done.stderr
    return Package(
        template=json.loads((made / "cloudformation-template-update-stack.json").read_text()),
        runtime=_unzip(made / "pythonRequirements.zip", folder / "runtime"),
        compiler=_unzip(made / "compiler.zip", folder / "compiler"),
        code=_unzip(made / "fsd-inference.zip", folder / "code"),
        actions=tuple(actions),
    )


def _environment(target: str, endpoint: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "FSD_TARGET": target,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
        "NODE_NO_WARNINGS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def _unzip(archive: Path, folder: Path) -> Path:
    with ZipFile(archive) as source:
        source.extractall(folder)
    return folder
