"""The documentation's examples run, its links lead somewhere, and its tables are those of the code."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from bundle.manifest import TensorSpec
from client.api import Client
from client.cli import parser
from partition import STRATEGIES
from partition.rules import RULES
from runs import errors
from runs.compile import CompileRequest
from runs.report import RankReport
from runs.request import AUTO, CHANNELS, ENCODINGS, PREFERENCES, Request, decode_inputs, parse_request
from tests.documents import ROOT, anchors, commands, documents, examples, links, prose, table
from zoo.registry import get_card

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
STRATEGIES_PAGE = (ROOT / "docs" / "strategies.md").read_text()


def invocations(function: str) -> list[dict[str, object]]:
    """The events that the README gives to `sls invoke`."""
    words = (shlex.split(line, comments=True) for line in commands(README) if line.startswith("sls invoke"))
    return [json.loads(line[line.index("-d") + 1]) for line in words if line[line.index("-f") + 1] == function]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path: Path) -> None:
    broken = []
    for link in links(path.read_text()):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_the_event_of_the_readme_is_read_as_the_digit_that_it_says(tmp_path: Path) -> None:
    (event,) = invocations("infer")
    inputs = decode_inputs(parse_request(event), (TensorSpec("x", "float32", ("batch", 64)),))
    card = get_card("digits-mlp")
    scores = ort.InferenceSession(card.build(card.parse({}), tmp_path)).run(["y"], inputs)[0]
    assert "the highest is that of digit 1" in README
    assert scores.argmax(axis=1).tolist() == [1]


def test_the_events_for_register_are_ones() -> None:
    events = invocations("register")
    assert events
    for event in events:
        request = CompileRequest.from_json(event)
        assert request.strategy in STRATEGIES
        assert get_card(request.model).name == request.model


def test_every_field_of_a_request_is_documented_with_its_default() -> None:
    rows = table(README, "The event of `infer`")
    fields = Request.__dataclass_fields__
    assert list(rows) == list(fields)
    for name in ("channel", "prefer", "encoding", "wait_s", "deadline_s", "start_s", "lane_wait_s"):
        default = fields[name].default
        shown = rows[name].split("|")[0].strip(" `")
        assert shown == (f"{default:g}" if isinstance(default, float) else default)
    for value in (*CHANNELS, AUTO, *PREFERENCES, *ENCODINGS[1:]):
        assert f"`{value}`" in rows["channel"] + rows["prefer"] + rows["encoding"]


def test_every_figure_of_a_rank_is_documented() -> None:
    report = RankReport(0, 0, "id", 1, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, True)
    assert set(re.findall(r"`(\w+)`", table(README, "The answer:")["ranks"])) == set(report.summary())


def test_every_error_type_is_documented() -> None:
    kinds = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RunError)
    }
    (line,) = re.findall(r"^Error types: ((?:.*\n)+?)\n", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line.split("`fsd`")[0])) == kinds - {errors.RunError.code}


def test_python_examples_call_the_client_as_it_is() -> None:
    sources = [example.body for example in examples(README) if example.language == "python"]
    assert sources
    for source in sources:
        tree = ast.parse(source)
        compile(tree, "README.md", "exec")
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_of_client(node.func)]
        assert calls
        for call in calls:
            method = getattr(Client, call.func.attr)  # type: ignore[attr-defined]
            keywords = {str(keyword.arg): None for keyword in call.keywords}
            inspect.signature(method).bind(None, *call.args, **keywords)
            known = {*inspect.signature(method).parameters, *Request.__dataclass_fields__}
            assert set(keywords) <= known


def _is_of_client(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "client"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_fsd_commands_in_shell_examples_parse(path: Path) -> None:
    for line in commands(path.read_text()):
        words = shlex.split(line, comments=True)
        if words and Path(words[0]).name == "fsd":
            try:
                parser().parse_args(words[1:])
            except SystemExit:
                pytest.fail(f"{path.name}: {line}")


def test_every_fsd_command_is_shown_and_those_shown_exist() -> None:
    known = sub_commands(parser())
    shown = {name for path in documents() for name in re.findall(r"\bfsd ([a-z]+)\b", _code(path.read_text()))}
    assert shown - known == set()
    # `make demo` is `fsd demo`.
    assert known - shown - {"demo"} == set()


def _code(text: str) -> str:
    """Shell examples and what stands in backquotes."""
    return "\n".join([*commands(text), *re.findall(r"`([^`\n]+)`", prose(text))])


def sub_commands(root: argparse.ArgumentParser) -> set[str]:
    """Names of a parser's sub-commands."""
    actions = (action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    return {name for action in actions for name in action.choices}


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {name for path in documents() for name in re.findall(r"\bmake ([a-z]+)\b", _code(path.read_text()))}
    assert {"demo", "test", "setup"} <= shown
    assert shown - targets == set()


def test_every_strategy_is_documented() -> None:
    assert set(table(STRATEGIES_PAGE, "# Strategies")) == set(STRATEGIES)


def test_ops_that_are_said_to_have_a_rule_have_one() -> None:
    section = STRATEGIES_PAGE.split("## What has a rule")[1].split("All of them")[0]
    named = set(re.findall(r"\b[A-Z][A-Za-z]+\b", section.split("Ops with a rule:")[1]))
    assert len(named) > 20
    assert named - {op for _, op in RULES.known()} == set()


@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_ops_that_are_said_to_be_kept_whole_have_none(op: str) -> None:
    assert ("", op) not in RULES.known()


def test_the_recipe_for_a_rule_holds_before_the_oracle() -> None:
    marked = {example.name: example.body for example in examples(CONTRIBUTING) if example.name}
    check = (
        "import numpy as np\n"
        "from tests.partition.cases import X3, Golden, _case\n"
        "from tests.partition.oracle import missing_letters, wrong_letters\n"
        f"golden = {marked['op-case']}\n"
        "rule = golden.case.rule()\n"
        "assert str(rule) == golden.text, rule\n"
        "assert wrong_letters(golden.case, rule, 3) == []\n"
        "assert missing_letters(golden.case, rule, 3) == []\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", marked["op-rule"] + check], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_decisions_are_listed_and_numbered_without_gaps() -> None:
    folder = ROOT / "docs" / "adr"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert sorted(links((folder / "README.md").read_text())) == names
    for name in names:
        text = (folder / name).read_text()
        assert text.startswith(f"# {name[:4]}: ")
        assert all(f"**{word}.**" in text for word in ("Context", "Decision", "Consequences"))


def test_pages_name_no_path_of_a_machine() -> None:
    for path in documents():
        assert not re.search(r"(?<![\w.*}])/(?:home|root|work|Users)/", path.read_text()), path


def test_the_example_digit_is_of_the_images_that_the_model_never_saw() -> None:
    (event,) = invocations("infer")
    with np.load(ROOT / "zoo" / "data" / "digits-heldout.npz") as data:
        assert data["images"][0].tolist() == event["inputs"]["x"][0]  # type: ignore[index]
        assert int(data["labels"][0]) == 1
