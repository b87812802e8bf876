"""Reads the documentation: its files, fenced examples, tables, headings and links."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- example: (?P<name>[\w-]+) -->\s*$")
_LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Example:
    """A fenced block; `name` is that of the mark before it, empty if it has none."""

    language: str
    body: str
    name: str = ""


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def examples(text: str) -> Iterator[Example]:
    """The fenced blocks of a document."""
    for match in _FENCE.finditer(text):
        mark = _MARK.search(text[: match.start()])
        yield Example(match["language"], textwrap.dedent(match["body"]), mark["name"] if mark else "")


def commands(text: str) -> list[str]:
    """The lines of its shell examples; a quoted argument may span several."""
    shell = "".join(example.body for example in examples(text) if example.language == "sh")
    lines: list[str] = []
    for line in shell.splitlines():
        if lines and lines[-1].count("'") % 2:
            lines[-1] += f"\n{line}"
        else:
            lines.append(line)
    return [line.strip() for line in lines if line.strip()]


def prose(text: str) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Targets of its links."""
    return [match["target"] for match in _LINK.finditer(prose(text))]


def anchors(text: str) -> set[str]:
    """The anchors of its headings, as git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(text: str, after: str) -> dict[str, str]:
    """The first table below the line `after`: the rest of each row by the words in backquotes of its first cell."""
    rows = re.search(r"^\|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text[text.index(after) :], re.MULTILINE)
    assert rows, f"expected a table below {after!r}"
    cells = (row.strip("|").split("|", 1) for row in rows[1].splitlines())
    return {name: rest for first, rest in cells for name in re.findall(r"`([^`]+)`", first)}
