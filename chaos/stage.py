"""A stage of the harness's own: the ordinary stack on a cloud that it starts, with the faults put into its functions.

AWS has no such stage: plans and notes lie in a folder of this machine.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from chaos.desk import Desk
from chaos.errors import ChaosError
from chaos.layers import unpack_layers
from client.cloud import ROOT, CloudState, EmbeddedCloud, client_environment
from client.target import Stage, find_stage

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

FUNCTIONS = ("infer", "worker")
# What serverless.yml packs, and this package.
PACKED = ("bundle", "channels", "chaos", "costs", "engine", "handlers", "partition", "runs", "zoo")
UPDATE_S = 30.0


@dataclass(frozen=True)
class ChaosStage:
    """A running stage among faults.

    lanes, ranks: how many lanes there are, and queues in each.
    """

    cloud: EmbeddedCloud
    stage: Stage
    desk: Desk
    sqs: SQSClient
    lanes: int
    ranks: int


@contextmanager
def own_stage(
    folder: Path, *, lanes: int, ranks: int, defect: str = "", package: Path | None = None
) -> Iterator[ChaosStage]:
    """Start a cloud in `folder`, deploy, put the faults in; stop the cloud at the end.

    package: a packaged stack with as many lanes and ranks; packaged anew when None.

    Raises:
        CloudError, ChaosError: a stage of it failed; nothing is left running.
    """
    cloud = EmbeddedCloud(folder)
    try:
        deploy(cloud.up(), lanes, ranks, package)
        stage = find_stage(cloud=cloud, environment={})
        desk = Desk(folder / "desk")
        desk.folder.mkdir(exist_ok=True)
        install(stage, desk, defect)
        yield ChaosStage(cloud, stage, desk, _queues(cloud.require()), lanes, ranks)
    finally:
        cloud.down()


def _queues(state: CloudState) -> SQSClient:
    values = client_environment(state)
    session = boto3.session.Session(
        values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], region_name=values["AWS_REGION"]
    )
    return session.client("sqs", endpoint_url=state.endpoint)


def deploy(state: CloudState, lanes: int, ranks: int, package: Path | None) -> None:
    """`sls deploy`.

    Raises:
        ChaosError: with the end of what it printed.
    """
    words = ["deploy", "--param", f"lanes={lanes}", "--param", f"ranks={ranks}"]
    if package is not None:
        words = ["deploy", "--package", str(package)]
    done = subprocess.run(
        [str(ROOT / "node_modules" / ".bin" / "sls"), *words],
        cwd=ROOT,
        env={**os.environ, **client_environment(state)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ChaosError(f"sls deploy failed: {(done.stdout + done.stderr)[-2000:]}")


def install(stage: Stage, desk: Desk, defect: str = "") -> None:
    """Replace the code and the entry points of the functions that serve requests.

    Code and layers lie unpacked beside the desk, once for all environments: the emulator would unpack them again for
    each one, two seconds of a processor for every process that is killed.

    defect: a name of chaos.defects to leave a safeguard out, or nothing.
    """
    code = copy_code(desk.folder / "code")
    for name in FUNCTIONS:
        function = stage.function(name)
        now = stage.functions.get_function_configuration(FunctionName=function)
        layers = unpack_layers(stage, now.get("Layers", []), desk.folder / "layers")
        more = {
            "FSD_CHAOS_DESK": str(desk.folder),
            "FSD_CHAOS_DEFECT": defect,
            "PYTHONPATH": os.pathsep.join(map(str, [code, *layers])),
        }
        stage.functions.update_function_code(FunctionName=function, ZipFile=_nothing())
        _await_update(stage, function)
        stage.functions.update_function_configuration(
            FunctionName=function,
            Handler=f"chaos.functions.{name}",
            Layers=[],
            Environment={"Variables": now["Environment"]["Variables"] | more},
        )
        _await_update(stage, function)


def copy_code(folder: Path) -> Path:
    """The functions' code as it is now, in a folder."""
    for package in PACKED:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _nothing() -> bytes:
    """A package that has no code."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("README", "The code is on PYTHONPATH.")
    return packed.getvalue()


def _await_update(stage: Stage, function: str) -> None:
    until = time.monotonic() + UPDATE_S
    while (answer := stage.functions.get_function_configuration(FunctionName=function))[
        "LastUpdateStatus"
    ] != "Successful":
        if time.monotonic() > until:
            raise ChaosError(f"{function}: not updated in {UPDATE_S:g} s: {answer.get('LastUpdateStatusReason')}")
        time.sleep(0.1)
