"""Every compiled file of the AWS package loads on AWS' python3.12 (Amazon Linux 2023, x86_64)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.cloud import ROOT
from engine.native.library import library_file
from tests.deploy.elf import read_library
from tests.deploy.packaging import Package

# Amazon Linux 2023: glibc 2.34 (docs.aws.amazon.com/linux/al2023/ug/core-glibc.html), libstdc++ and libgcc of GCC 11
# (gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html). libz is what Python's own zlib module loads.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (7, 0, 0)}
SYSTEM = re.compile(r"(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|libz|ld-linux-x86-64)\.so\.\d+")
INTERPRETERS = ("cpython-312-x86_64-linux-gnu", "abi3")


def libraries(package: Package) -> list[Path]:
    """Every shared library of the layers and the functions' zip."""
    folders = (package.runtime, package.compiler, package.code)
    return [path for folder in folders for path in folder.rglob("*") if re.search(r"\.so(\.|$)", path.name)]


def native(package: Package) -> Path:
    """Our own library in the functions' zip, which Python does not import."""
    return package.code / library_file("x86_64").relative_to(ROOT)


def too_new(versions: frozenset[str]) -> Iterator[str]:
    """Those symbol versions that Amazon Linux 2023 does not have."""
    for version in versions:
        match = re.fullmatch(r"([A-Z]+)_([\d.]+)", version)
        if match and match[1] in NEWEST and tuple(map(int, match[2].split("."))) > NEWEST[match[1]]:
            yield version


def test_the_package_holds_the_compiled_parts_of_numpy_and_onnxruntime(aws_package: Package) -> None:
    names = {path.name.split(".")[0] for path in libraries(aws_package)}
    assert {"_multiarray_umath", "onnxruntime_pybind11_state", "backend_c"} <= names
    assert native(aws_package) in libraries(aws_package)


def test_compiled_files_are_for_the_architecture(aws_package: Package) -> None:
    wrong = {path.name: found for path in libraries(aws_package) if (found := read_library(path).machine) != "x86_64"}
    assert not wrong


def test_extension_modules_are_for_the_runtimes_interpreter(aws_package: Package) -> None:
    names = [
        path.name for path in libraries(aws_package) if not path.name.startswith("lib") and path != native(aws_package)
    ]
    assert [name for name in names if name.split(".")[-2] not in INTERPRETERS] == []


def test_wheels_of_the_compiler_layer_fit_runtime_and_architecture(aws_package: Package) -> None:
    # The runtime layer has none: serverless-python-requirements' slim deletes *.dist-info.
    tags = [
        line.removeprefix("Tag: ")
        for wheel in aws_package.compiler.rglob("*.dist-info/WHEEL")
        for line in wheel.read_text().splitlines()
        if line.startswith("Tag: ")
    ]
    assert tags
    assert [
        tag for tag in tags if not re.fullmatch(r"(py2|py3)-none-any|cp3\d+-(cp312|abi3)-manylinux\w+_x86_64", tag)
    ] == []


def test_no_symbol_is_newer_than_the_runtimes_libraries(aws_package: Package) -> None:
    wrong = {path.name: new for path in libraries(aws_package) if (new := sorted(too_new(read_library(path).versions)))}
    assert not wrong


def test_every_needed_library_is_in_the_layer_or_the_runtime(aws_package: Package) -> None:
    found = libraries(aws_package)
    present = {path.name for path in found}
    needed = {name for path in found for name in read_library(path).needed}
    assert {name for name in needed - present if not SYSTEM.fullmatch(name)} == set()


def test_the_reader_finds_versions_and_needs_in_a_known_library(aws_package: Package) -> None:
    (path,) = aws_package.runtime.rglob("_multiarray_umath.*.so")
    library = read_library(path)
    assert "libc.so.6" in library.needed
    assert any(version.startswith("GLIBC_2.") for version in library.versions)


@pytest.mark.parametrize("version", ["GLIBC_2.35", "GLIBC_2.100", "GLIBCXX_3.4.30"])
def test_a_newer_symbol_version_is_noticed(version: str) -> None:
    assert list(too_new(frozenset({version, "GLIBC_2.17", "GLIBC_PRIVATE"}))) == [version]


def test_a_library_of_another_machine_is_told_by_its_header(tmp_path: Path) -> None:
    arm = tmp_path / "other.so"
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    arm.write_bytes(struct.pack("<16sHHIQQQIHHHHHH", ident, 3, 0xB7, 1, 0, 0, 64, 0, 64, 56, 0, 64, 0, 0))
    assert read_library(arm).machine == "aarch64"
    arm.write_bytes(b"\x7fELF\x01\x01" + bytes(60))
    with pytest.raises(ValueError, match="64-bit"):
        read_library(arm)
