"""The paper's table as CSV, as Markdown, and as a plot that any browser shows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]

HEAD = (
    "channel",
    "N",
    "P",
    "bytes ours",
    "theirs",
    "ratio",
    "USD ours",
    "theirs",
    "ratio",
    "of floor",
    "calls",
    "right",
)
_CALLS = {
    "sns:Publish": "pub",
    "sns:PublishBatch": "batch",
    "sqs:ReceiveMessage": "recv",
    "sqs:DeleteMessageBatch": "del",
    "s3:DeleteObjects": "del",
    "s3:PutObject": "put",
    "s3:GetObject": "get",
    "s3:ListObjectsV2": "list",
}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 1100, 420, 60, 90, 30
_DECADES = (-3, 0)
# By a figure of the summary: what is said where there is one.
_SENTENCES = {
    "bytes_ratio_mean": "- Bytes: {bytes_ratio_mean:.4f} of theirs in the geometric mean, at most"
    " {bytes_ratio_max:.4f}.",
    "queue_usd_ratio_mean": "- USD through the queue: {queue_usd_ratio_mean:.3f} of theirs in the geometric mean,"
    " at most {queue_usd_of_floor_max:.2f} of the floor.",
    "object_usd_ratio_mean": "- USD through objects: {object_usd_ratio_mean:.3f} of theirs in the geometric mean,"
    " at most {object_usd_ratio_max:.3f}.",
}
_TEXTS = frozenset({"channel", "partition", "right", "how"})
_FRACTIONS = frozenset({"bytes_ratio", "usd_ours", "usd_theirs", "usd_ratio", "usd_floor"})


def geometric_mean(ratios: Iterable[float]) -> float:
    """Of ratios above 0; NaN of none."""
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def summary(lines: Sequence[Line]) -> dict[str, float]:
    """Largest and mean ratios by channel, as the table's last lines say them."""
    queue, objects = ([line for line in lines if line["channel"] == name] for name in ("queue", "object"))
    return {
        "bytes_ratio_mean": geometric_mean(line["bytes_ratio"] for line in lines),
        "bytes_ratio_max": max((line["bytes_ratio"] for line in lines), default=math.nan),
        "queue_usd_ratio_mean": geometric_mean(line["usd_ratio"] for line in queue),
        "queue_usd_of_floor_max": max((line["usd_ours"] / line["usd_floor"] for line in queue), default=math.nan),
        "object_usd_ratio_mean": geometric_mean(line["usd_ratio"] for line in objects),
        "object_usd_ratio_max": max((line["usd_ratio"] for line in objects), default=math.nan),
    }


def markdown(lines: Sequence[Line]) -> str:
    """The table, what it comes to, what was run where; apart, runs that the authors' system did not complete."""
    both, alone = _both(lines), [line for line in lines if line["usd_ratio"] is None]
    rows = [HEAD, ["---"] + ["---:"] * (len(HEAD) - 3) + ["---", "---:"], *map(_cells, both)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n" + "\n".join([*summary_lines(both), *map(_apart, alone)]) + "\n"


def _both(lines: Sequence[Line]) -> list[Line]:
    """Lines that have figures of the authors."""
    return [line for line in lines if line["usd_ratio"] is not None]


def _apart(line: Line) -> str:
    return (
        f"- N = {line['neurons']:,}, P = {line['workers']}, {line['channel']}: theirs did not complete. Ours:"
        f" {line['bytes_ours']:,} bytes, USD {line['usd_ours']:.5f}, {line['usd_ours'] / line['usd_floor']:.2f} of the"
        f" floor, {line['right']} right; {line['how']}."
    )


def summary_lines(lines: Sequence[Line]) -> list[str]:
    """Sentences, of what there are rows of."""
    mean = summary(lines)
    ratios = [text.format_map(mean) for name, text in _SENTENCES.items() if not math.isnan(mean[name])]
    rows = {how: f"{count} row{'s' * (count > 1)}" for how, count in _counted(line["how"] for line in lines).items()}
    return [*ratios, *(f"- {count}: {how}." for how, count in rows.items())]


def _counted(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def _cells(line: Line) -> list[str]:
    calls = " ".join(f"{_CALLS.get(name, name)} {count:,}" for name, count in line["calls_ours"].items())
    random = " (theirs: random)" if line["partition"] == "random" else ""
    return [
        line["channel"] + random,
        f"{line['neurons']:,}",
        str(line["workers"]),
        f"{line['bytes_ours']:,}",
        f"{line['bytes_theirs']:,}",
        f"{line['bytes_ratio']:.4f}",
        f"{line['usd_ours']:.5f}",
        f"{line['usd_theirs']:.5f}",
        f"{line['usd_ratio']:.3f}",
        f"{line['usd_ours'] / line['usd_floor']:.2f}",
        calls,
        line["right"],
    ]


def as_csv(lines: Sequence[Line]) -> str:
    """Every figure of every line; calls by operation as `name=units`."""
    file = io.StringIO()
    flat = [{name: _flat(value) for name, value in line.items()} for line in lines]
    writer = csv.DictWriter(file, list(flat[0]) if flat else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()


def _flat(value: object) -> object:
    return ";".join(f"{name}={count}" for name, count in value.items()) if isinstance(value, dict) else value


def svg(lines: Sequence[Line]) -> str:
    """Ours as a share of theirs, a group of two bars for each line: bytes and USD; logarithmic."""
    lines = _both(lines)
    step = (_WIDTH - _LEFT) / max(1, len(lines))
    bars = "".join(_group(line, _LEFT + i * step, step) for i, line in enumerate(lines))
    grid = "".join(_grid(exponent) for exponent in range(_DECADES[0], _DECADES[1] + 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="10">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
        f'<text x="{_LEFT}" y="16">Ours as a share of the published run: bytes (dark), communication USD (light)</text>'
        f"{grid}{bars}</svg>\n"
    )


def _grid(exponent: int) -> str:
    y, label = _y(10.0**exponent), "1" if exponent == 0 else f"1/{10**-exponent:,}"
    line = f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>'
    return f'{line}<text x="{_LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{label}</text>'


def _group(line: Line, x: float, step: float) -> str:
    dark, light = ("#1f4e79", "#9dc3e6") if line["channel"] == "queue" else ("#7f3f00", "#f4b183")
    width, base = step * 0.4, _y(10.0 ** _DECADES[0])
    bars = ""
    for i, (ratio, colour) in enumerate(((line["bytes_ratio"], dark), (line["usd_ratio"], light))):
        y = min(_y(ratio), base)
        bars += (
            f'<rect x="{x + i * width:.1f}" y="{y:.1f}" width="{width:.1f}" height="{base - y:.1f}" fill="{colour}"/>'
        )
    label = f"{line['channel']} {line['neurons']} P{line['workers']}"
    turn = f'transform="translate({x + width:.1f},{base + 6:.1f}) rotate(60)"'
    return f"{bars}<text {turn}>{label}</text>"


def _y(ratio: float) -> float:
    share = (math.log10(ratio) - _DECADES[0]) / (_DECADES[1] - _DECADES[0])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


_WRITERS: Mapping[str, Callable[[Sequence[Line]], str]] = {"csv": as_csv, "md": markdown, "svg": svg}


def write_results(lines: Sequence[Line], folder: Path, name: str) -> list[Path]:
    """`name`.csv, .md and .svg in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{suffix}" for suffix in _WRITERS]
    for path, write in zip(paths, _WRITERS.values(), strict=True):
        path.write_text(write(lines))
    return paths


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a table that as_csv wrote; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{name: _parsed(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _parsed(name: str, text: str) -> object:
    if name.startswith("calls_"):
        pairs = (pair.rpartition("=") for pair in text.split(";") if pair)
        return {call: int(count) for call, _, count in pairs}
    if name in _TEXTS:
        return text
    return (float(text) if name in _FRACTIONS else int(text)) if text else None


def joined(lines: Sequence[Line], former: Sequence[Line]) -> list[Line]:
    """Lines measured here, and those of a former table for rows that were not; in the order of network and workers."""
    found = {_row(line): line for line in (*former, *lines)}
    return sorted(found.values(), key=_order)


def _row(line: Line) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("channel", "neurons", "workers", "partition"))


def _order(line: Line) -> tuple[Any, ...]:
    return line["channel"] != "queue", line["neurons"], line["workers"], line["partition"]
