"""`fsd register`: find the model, compile it on this machine, upload the bundle, and only then give it its name."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError as AwsError

from bundle.registry import check_name, register_model
from bundle.store import Store
from client.division import Division
from client.target import Stage
from partition import compile_to_store
from runs.catalog import describe
from runs.objects import Objects
from runs.usage import bundles_in_use
from zoo.errors import SourceError
from zoo.sources import default_name, locate


def compile_and_upload(
    stage: Stage, store: Store, model: str, name: str, division: Division, options: Mapping[str, object]
) -> dict[str, Any]:
    """The new model's entry. `name` defaults to the card's, or to the file's stem.

    Raises:
        ZooError, CompileError, BundleError: one line; nothing is registered then.
    """
    name = name or default_name(model)
    check_name(name)

    def fetch(bucket: str, key: str, path: Path) -> None:
        try:
            stage.s3.download_file(bucket, key, str(path))
        except AwsError as error:
            raise SourceError(f"model s3://{bucket}/{key}: {error}") from None

    with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
        path = locate(model, options, Path(folder), fetch)
        manifest = compile_to_store(
            store, path, division.strategy, division.ranks, name=name, options=division.options()
        )
    objects = Objects(stage.s3, stage.bucket)
    return describe(register_model(store, name, manifest, partial(bundles_in_use, objects)), manifest)
