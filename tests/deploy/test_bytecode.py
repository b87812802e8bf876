"""Packages bring their modules' bytecode: read-only folders cannot keep it, and each cold start would compile again."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from client.cloud import ROOT
from tests.deploy.packaging import Package

PROGRAM = ROOT / "deploy" / "bytecode.py"
AWS_TAG, AWS_MAGIC = "cpython-312", (3531).to_bytes(2, "little") + b"\r\n"
UNCHECKED = (1).to_bytes(4, "little")  # PEP 552: by hash, and the source is not asked


def make_zip(file: Path, **texts: str) -> Path:
    """A zip of modules."""
    with ZipFile(file, "w") as archive:
        for name, text in texts.items():
            archive.writestr(f"{name}.py", text)
        archive.writestr("data.txt", "no module")
    return file


def add_bytecode(*files: Path) -> None:
    """What packaging runs."""
    subprocess.run([sys.executable, "-I", str(PROGRAM), *map(str, files)], check=True, timeout=60)


def compiled(folder: Path) -> dict[str, bytes]:
    """The first 8 bytes of each .pyc, by the module's file and the interpreter's tag."""
    found = {}
    for path in folder.rglob("*.pyc"):
        module, tag, _ = path.name.split(".")
        source = path.parent.parent.relative_to(folder) / f"{module}.py"
        found[f"{source} {tag}"] = path.read_bytes()[:8]
    return found


def modules(folder: Path) -> set[str]:
    """Every Python file below `folder`."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def test_a_module_runs_from_its_bytecode_whatever_its_source_has_become(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", thing="print('packed')")
    add_bytecode(archive)
    with ZipFile(archive) as source:
        source.extractall(tmp_path / "out")
    (tmp_path / "out" / "thing.py").write_text("print('changed')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'out')!r}); import thing"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "packed\n"


def test_the_same_zip_becomes_the_same_bytes_and_stays_so(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.append(make_zip(tmp_path / name / "x.zip", one="x = 1", two="def f(): return {1, 2, 'c'}"))
    add_bytecode(*made)
    first, second = (file.read_bytes() for file in made)
    assert first == second
    add_bytecode(made[0])
    assert made[0].read_bytes() == first
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["x.zip"]


def test_a_file_of_another_python_is_left_as_it_is(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", old="print 'two'", new="x = 3")
    add_bytecode(archive)
    with ZipFile(archive) as source:
        assert set(source.namelist()) == {"old.py", "new.py", "data.txt", importlib.util.cache_from_source("new.py")}


@pytest.mark.parametrize("part", ["runtime", "compiler", "code"])
def test_every_module_for_the_local_interpreter_is_compiled(local_package: Package, part: str) -> None:
    folder = getattr(local_package, part)
    tag, magic = sys.implementation.cache_tag, importlib.util.MAGIC_NUMBER
    assert compiled(folder) == {f"{name} {tag}": magic + UNCHECKED for name in modules(folder)}


@pytest.mark.parametrize("part", ["runtime", "compiler", "code"])
def test_a_package_for_aws_has_bytecode_of_its_interpreter_or_none(aws_package: Package, part: str) -> None:
    folder = getattr(aws_package, part)
    found = compiled(folder)
    assert found in ({}, {f"{name} {AWS_TAG}": AWS_MAGIC + UNCHECKED for name in modules(folder)})
    assert bool(found) == bool(compiled(aws_package.code))
