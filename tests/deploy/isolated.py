"""Runs inside a bare interpreter (`python -I -S`), as Lambda's runtime would: only the unzipped package is seen.

Arguments: a JSON object {path: [folders], handlers: ["handlers.infer.handler"], model: file or ""}. Prints JSON:
{outside: [files of modules from elsewhere], outputs: the model's first output for ones, versions: {package: version}}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def outside(folders: list[str]) -> list[str]:
    """Files of loaded modules that are neither in these folders nor of the interpreter's own library."""
    library = os.path.dirname(os.__file__)
    allowed = tuple(os.path.join(os.path.realpath(folder), "") for folder in [*folders, library])
    site = os.path.join(os.path.realpath(library), "site-packages", "")
    main = sys.modules["__main__"]
    files = [getattr(module, "__file__", None) for module in sys.modules.values() if module is not main]
    real = [os.path.realpath(file) for file in files if file]
    return sorted(file for file in real if not file.startswith(allowed) or file.startswith(site))


def run_model(file: str) -> Any:
    """The model's first output for an input of ones."""
    numpy = importlib.import_module("numpy")
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in source.shape]
    return session.run(None, {source.name: numpy.ones(shape, numpy.float32)})[0].tolist()


def main() -> None:
    """Import, run, report."""
    job = json.loads(sys.argv[1])
    sys.path[:0] = job["path"]
    for handler in job["handlers"]:
        module, _, function = handler.rpartition(".")
        if not callable(getattr(importlib.import_module(module), function)):
            raise TypeError(f"{handler} is no function")
    outputs = run_model(job["model"]) if job["model"] else None
    names = ("numpy", "onnxruntime", "botocore", "zstandard", "onnx")
    versions = {name: sys.modules[name].__version__ for name in names if name in sys.modules}
    print(json.dumps({"outside": outside(job["path"]), "outputs": outputs, "versions": versions}))


if __name__ == "__main__":
    main()
