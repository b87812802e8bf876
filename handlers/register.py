"""The `register` function: compiles a model of the zoo, or an ONNX file on S3, into a bundle.

Event: {"model": zoo name | "s3://bucket/key.onnx", "name", "strategy", "workers", "options": {...}}. What does not fit
in a function is refused with a line that names `fsd register`, which compiles on the user's machine.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bundle.errors import BundleError
from bundle.registry import check_name, register_model
from handlers.environment import LambdaContext, begin, service
from partition import Options, compile_to_store
from partition.errors import CompileError
from partition.grid import workers_of
from runs.catalog import describe
from runs.compile import CompileRequest, check_fits, fetcher
from runs.errors import RunError
from zoo.errors import ZooError
from zoo.sources import default_name, locate


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The new model's entry, or `{"status": "failed", "error"}`; nothing is registered then."""
    invocation = begin(context, "register")
    try:
        request = CompileRequest.from_json(event)
        name = request.name or default_name(request.model)
        check_name(name)
        with tempfile.TemporaryDirectory() as folder:
            path = locate(request.model, request.options, Path(folder), fetcher(service(), invocation), hubs=False)
            check_fits(path, invocation)
            store, workers = service().store, workers_of(request.strategy, request.workers)
            options = Options(precision=request.precision, merge_rows=request.merge_rows)
            manifest = compile_to_store(store, path, request.strategy, workers, name=name, options=options)
            record = register_model(store, name, manifest, in_use=None)  # it may not look at runs: `fsd collect` does
            return {"status": "done", **describe(record, manifest)}
    except (BundleError, CompileError, RunError, ZooError) as error:
        return {"status": "failed", "error": {"type": type(error).__name__, "message": str(error), "retry": False}}
