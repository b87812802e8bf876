"""A function's layers, unpacked into a folder that its environments share."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from client.target import Stage

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import LayerTypeDef

TIMEOUT_S = 60.0


def unpack_layers(stage: Stage, layers: Iterable[LayerTypeDef], folder: Path) -> list[Path]:
    """Folders to put on PYTHONPATH, in the layers' order; what was unpacked before is taken as it is."""
    return [_unpack(stage, layer["Arn"], folder) / "python" for layer in layers]


def _unpack(stage: Stage, arn: str, folder: Path) -> Path:
    mine = folder / "-".join(arn.split(":")[-2:])
    if not mine.exists():
        location = stage.functions.get_layer_version_by_arn(Arn=arn)["Content"]["Location"]
        with urllib.request.urlopen(location, timeout=TIMEOUT_S) as answer:
            zipfile.ZipFile(io.BytesIO(answer.read())).extractall(mine)
    return mine
