"""Imports point one way: the tables of docs/architecture.md, held against the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "bundle", "channels", "chaos", "client", "costs", "engine", "handlers", "partition", "runs", "zoo")

# A unit is a package, or the part of one that has edges of its own.
SPLIT_OFF = {
    "client.cli": "client.commands",
    "client.commands": "client.commands",
    "handlers.register": "handlers.register",
}

# unit -> what it may import: a unit, or single modules of it.
ALLOWED: Mapping[str, frozenset[str]] = {
    "bundle": frozenset(),
    "channels": frozenset({"costs.limits", "costs.prices"}),
    "costs": frozenset(),
    "zoo": frozenset(),
    "engine": frozenset({"bundle", "channels.tags", "channels.tensors"}),
    "partition": frozenset(
        {
            "bundle",
            "costs.exchanged",
            "costs.limits",
            "costs.planner",
            "costs.prices",
            "costs.sized",
            "engine.codec",
            "engine.program",
            "engine.split",
        }
    ),
    "runs": frozenset({"bundle", "channels", "costs", "engine"}),
    "handlers": frozenset({"costs", "engine.cache", "runs"}),
    "handlers.register": frozenset({"bundle", "handlers", "partition", "runs", "zoo"}),
    "client": frozenset({"bundle", "channels", "costs", "engine", "partition", "runs", "zoo"}),
    "bench": frozenset(
        {"bundle", "channels", "client", "costs", "engine", "partition", "runs.execute", "runs.values", "zoo"}
    ),
    "chaos": frozenset({"channels", "client", "handlers", "runs", "zoo"}),
    "client.commands": frozenset({"bench", "chaos", "client", "runs.request", "zoo"}),
}

# library -> modules (or packages) that may import it; the others are handed what they need.
LIBRARIES: Mapping[str, frozenset[str]] = {
    "boto3": frozenset({"chaos.stage", "client.target", "runs.aws"}),
    "botocore": frozenset(
        {"bench.services", "channels.object_reader", "channels.retry", "chaos.requests", "client", "runs"}
    ),
    "mtkahypar": frozenset({"partition.sparse.mtkahypar"}),
    "onnx": frozenset({"bench.big_model", "bench.large_graphs", "client.verify", "partition", "zoo"}),
    "onnx_ir": frozenset({"partition"}),
    "onnxruntime": frozenset(
        {"bench", "chaos.cases", "client.verify", "engine", "partition.folding", "partition.foreign", "zoo.testing"}
    ),
    "sklearn": frozenset({"zoo.train_digits"}),
}


@dataclass(frozen=True)
class Import:
    """`module` (dotted) imports `target` in line `line` of its file."""

    module: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def imports_of(module: str, source: str) -> Iterator[Import]:
    """Every import of a source text, inside of functions and type-checking blocks too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: expected absolute imports, got a relative one"
            # `from handlers import register` means the module, `from costs import attach` the package.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in names if _is_module(name)]
            yield from (Import(module, target, node.lineno) for target in modules or [node.module or ""])


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@cache
def all_imports() -> tuple[Import, ...]:
    """Every import of our packages."""
    found: list[Import] = []
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found += imports_of(module, path.read_text())
    return tuple(found)


def is_within(module: str, parent: str) -> bool:
    """Whether a module is `parent` or below it."""
    return module == parent or module.startswith(f"{parent}.")


def unit_of(module: str) -> str:
    """The unit that a module of ours belongs to."""
    return next((unit for prefix, unit in SPLIT_OFF.items() if is_within(module, prefix)), module.split(".")[0])


def edges() -> list[Import]:
    """Imports between units of ours."""
    ours = (found for found in all_imports() if found.target.split(".")[0] in PACKAGES)
    return [found for found in ours if unit_of(found.module) != unit_of(found.target)]


def is_allowed(found: Import) -> bool:
    """Whether the table has this edge: the whole unit, or this module of it."""
    names = ALLOWED[unit_of(found.module)]
    return unit_of(found.target) in names or any(is_within(found.target, name) for name in names if "." in name)


def test_every_package_has_its_edges_in_the_table() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert found == set(PACKAGES)
    assert set(ALLOWED) == set(PACKAGES) | set(SPLIT_OFF.values())


def test_imports_follow_the_table() -> None:
    assert [str(found) for found in edges() if not is_allowed(found)] == []


def test_the_table_has_no_edge_that_nobody_uses() -> None:
    used = {(unit_of(found.module), name) for found in edges() for name in (unit_of(found.target), found.target)}
    unused = [(unit, name) for unit, names in ALLOWED.items() for name in names if (unit, name) not in used]
    assert unused == []


def test_the_table_has_no_cycle() -> None:
    graph = {unit: {unit_of(name) for name in names} for unit, names in ALLOWED.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(ALLOWED)


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_a_library_is_imported_only_where_the_table_says(library: str) -> None:
    found = [item for item in all_imports() if is_within(item.target, library)]
    assert found, f"nobody imports {library}: take it out of the table"
    allowed = LIBRARIES[library]
    assert [str(item) for item in found if not any(is_within(item.module, name) for name in allowed)] == []


def test_packages_import_nothing_of_the_tests() -> None:
    assert [str(found) for found in all_imports() if is_within(found.target, "tests")] == []


def test_functions_that_serve_requests_load_neither_compiler_nor_onnx() -> None:
    program = (
        "import sys, handlers.infer, handlers.worker, handlers.models\n"
        "unwanted = {'onnx', 'onnx_ir', 'onnxruntime', 'partition', 'zoo'}\n"
        "print(sorted(unwanted & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_tables_of_the_documentation_are_these() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert documented(text, "unit") == {unit: set(names) for unit, names in ALLOWED.items()}
    assert documented(text, "library") == {library: set(names) for library, names in LIBRARIES.items()}


def documented(text: str, title: str) -> dict[str, set[str]]:
    """First and second column, by their words in backquotes, of the table whose first heading is `title`."""
    table = re.search(rf"^\| {title} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table, f"docs/architecture.md: expected a table headed {title!r}"
    rows = (row.split("|")[1:3] for row in table[1].splitlines())
    return {name.strip(" `"): set(re.findall(r"`([a-z0-9_.]+)`", names)) for name, names in rows}


@pytest.mark.parametrize(
    ("source", "module", "allowed"),
    [
        ("from partition import compile_model", "runs.serve", False),
        ("def f():\n    import handlers.infer", "engine.machine", False),
        ("from channels.queue import QueueChannel", "engine.port", False),
        ("from channels.tags import Tag", "engine.port", True),
        ("from engine import machine", "partition.emit", False),
        ("from bench.report import case_lines", "client.api", False),
        ("from bench.report import case_lines", "client.commands.bench", True),
    ],
)
def test_the_guard_tells_good_edges_from_bad_ones(source: str, module: str, allowed: bool) -> None:
    assert all(is_allowed(found) for found in imports_of(module, source)) is allowed
