"""The packages by themselves: in an interpreter that sees nothing else, the handlers import and a session runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from client.cloud import ROOT
from tests.deploy.packaging import Package

MODEL = ROOT / "zoo" / "data" / "digits-mlp.onnx"
PROGRAM = Path(__file__).with_name("isolated.py")
LAYERS = {"PythonRequirementsLambdaLayer": "runtime", "CompilerLambdaLayer": "compiler"}
FUNCTIONS = ("infer", "worker", "register", "models")
AWS_VERSION = (3, 12)


def run_isolated(python: Path, package: Package, function: str, model: Path | str = "") -> dict[str, Any]:
    """Load one function as Lambda would, with its own layers only; what isolated.py reports."""
    (settings,) = (f for f in package.properties("AWS::Lambda::Function") if f["FunctionName"].endswith(f"-{function}"))
    layers = [getattr(package, LAYERS[layer["Ref"]]) / "python" for layer in settings["Layers"]]
    job = {"path": [str(package.code), *map(str, layers)], "handlers": [settings["Handler"]], "model": str(model)}
    done = subprocess.run(
        [str(python), "-I", "-S", "-B", str(PROGRAM), json.dumps(job)],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def expected_outputs() -> Any:
    """What onnxruntime here says of the model."""
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: np.ones((1, 64), np.float32)})[0]


def interpreters() -> Iterator[Path]:
    """Pythons on this machine that may have AWS' version, some of them launchers that do not work."""
    yield Path(sys.executable)
    name = f"python{AWS_VERSION[0]}.{AWS_VERSION[1]}"
    found = shutil.which(name)
    if found:
        yield Path(found)
    yield from sorted(Path.home().glob(f".pyenv/versions/{AWS_VERSION[0]}.{AWS_VERSION[1]}*/bin/{name}"))


def version_of(python: Path) -> tuple[int, ...]:
    """Major and minor version; () if it does not run."""
    program = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else ()


@pytest.fixture(scope="module")
def aws_python() -> Path:
    """An interpreter of the version that AWS runs."""
    for python in interpreters():
        if version_of(python) == AWS_VERSION:
            return python
    pytest.skip("needs a python3.12 on PATH or in ~/.pyenv to load the package for AWS")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_local_function_loads_from_its_package_alone(local_package: Package, function: str) -> None:
    assert run_isolated(Path(sys.executable), local_package, function)["outside"] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_aws_function_loads_from_its_package_alone(aws_package: Package, aws_python: Path, function: str) -> None:
    assert run_isolated(aws_python, aws_package, function)["outside"] == []


def test_a_session_runs_in_the_local_package(local_package: Package) -> None:
    report = run_isolated(Path(sys.executable), local_package, "worker", MODEL)
    assert report["outside"] == []
    np.testing.assert_allclose(report["outputs"], expected_outputs(), rtol=1e-5, atol=1e-5)


def test_a_session_runs_in_the_aws_package(aws_package: Package, aws_python: Path) -> None:
    report = run_isolated(aws_python, aws_package, "worker", MODEL)
    assert report["outside"] == []
    np.testing.assert_allclose(report["outputs"], expected_outputs(), rtol=1e-5, atol=1e-5)


def test_packed_versions_are_the_locked_ones(local_package: Package) -> None:
    locked = dict(line.split("==") for line in (ROOT / "requirements" / "worker.txt").read_text().split())
    versions = run_isolated(Path(sys.executable), local_package, "worker", MODEL)["versions"]
    assert {"numpy", "onnxruntime", "botocore"} <= versions.keys()
    assert {name: locked[name] for name in versions} == versions


def test_a_module_from_elsewhere_is_noticed(local_package: Package, tmp_path: Path) -> None:
    # The check itself: the same program must name a module that comes from another folder.
    (tmp_path / "elsewhere.py").write_text("def handler(): ...\n")
    job = {"path": [str(local_package.code)], "handlers": ["elsewhere.handler"], "model": ""}
    program = (
        f"import sys, runpy; sys.path.append({str(tmp_path)!r}); runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, json.dumps(job)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["outside"] == [str(tmp_path / "elsewhere.py")]
