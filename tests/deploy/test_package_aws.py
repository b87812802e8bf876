"""The artifacts that `sls package` makes for AWS: what is in them, and whether Lambda takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.cloud import ROOT
from engine.native.library import library_file
from tests.deploy.packaging import Package

MB = 10**6
# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 250 MB for code and layers, unzipped.
MAX_UNZIPPED_BYTES = 250 * MB
MAX_RUNTIME_LAYER_BYTES = 200 * MB
NATIVE = library_file("x86_64")
PACKAGES = {"bundle", "channels", "costs", "engine", "handlers", "partition", "runs", "zoo"}


def files(folder: Path) -> list[str]:
    """The files below `folder`, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def size_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum((folder / name).stat().st_size for name in files(folder))


def test_packaging_asks_aws_only_whether_the_stack_exists(aws_package: Package) -> None:
    assert set(aws_package.actions) == {"DescribeStacks"}


def test_layers_and_code_fit_lambda(aws_package: Package) -> None:
    runtime = size_bytes(aws_package.runtime)
    assert runtime < MAX_RUNTIME_LAYER_BYTES
    assert runtime + size_bytes(aws_package.compiler) + size_bytes(aws_package.code) < MAX_UNZIPPED_BYTES


def test_the_runtime_layer_holds_what_a_rank_needs_and_no_compiler(aws_package: Package) -> None:
    present = {path.name for path in (aws_package.runtime / "python").iterdir()}
    assert {"boto3", "botocore", "ml_dtypes", "numpy", "onnxruntime", "zstandard"} <= present
    assert not present & {"onnx", "onnx_ir", "scipy", "sklearn", "pip", "pytest"}


def test_the_compiler_layer_holds_onnx_and_nothing_of_the_runtime_layer(aws_package: Package) -> None:
    compiler = {path.name for path in (aws_package.compiler / "python").iterdir()}
    runtime = {path.name for path in (aws_package.runtime / "python").iterdir()}
    assert {"onnx", "onnx_ir"} <= compiler
    assert compiler & runtime == set()


@pytest.mark.parametrize("part", ["runtime", "compiler", "code"])
def test_nothing_is_packed_that_no_function_reads(aws_package: Package, part: str) -> None:
    unwanted = [name for name in files(getattr(aws_package, part)) if name.endswith(".pyi") or "/tests/" in name]
    assert unwanted == []


def test_the_functions_zip_holds_exactly_the_packages_that_run_there(aws_package: Package) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and (path.suffix == ".py" or path.is_relative_to(ROOT / "zoo" / "data") or path == NATIVE)
    }
    assert {name for name in files(aws_package.code) if not name.endswith(".pyc")} == sources


def test_endpoints_are_those_of_the_services_that_functions_call(aws_package: Package) -> None:
    data = aws_package.runtime / "python" / "botocore" / "data"
    partitions = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert "us-east-1" in partitions[0]["services"]["s3"]["endpoints"]
    assert {"aws", "aws-cn", "aws-us-gov"} <= {partition["partition"] for partition in partitions}
    services = {path.name for path in data.iterdir() if path.is_dir()}
    assert {name for partition in partitions for name in partition["services"]} == services


def test_every_functions_handler_is_in_the_zip(aws_package: Package) -> None:
    handlers = [function["Handler"] for function in aws_package.properties("AWS::Lambda::Function")]
    modules = {handler.rpartition(".")[0].replace(".", "/") + ".py" for handler in handlers}
    assert len(modules) == 4
    assert modules - set(files(aws_package.code)) == set()


def test_packages_for_aws_and_for_here_lie_apart(aws_package: Package, local_package: Package) -> None:
    # Both are cached; a shared cache would give AWS the wheels of the interpreter that runs here.
    def interpreters(package: Package) -> set[str]:
        return {path.name.split(".")[1] for path in package.runtime.rglob("_multiarray_umath.*.so")}

    assert interpreters(aws_package) == {"cpython-312-x86_64-linux-gnu"}
    (expected,) = (ROOT / ".venv").rglob("numpy/_core/_multiarray_umath.*.so")
    assert interpreters(local_package) == {expected.name.split(".")[1]}
