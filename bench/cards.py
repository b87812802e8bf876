"""Every built network of the zoo, divided: shares of the weights, exchanged bytes, answers: `python -m bench.cards`.

Each runs at full size with one example, on 2, 4 and 8 ranks in this process; plain onnxruntime is the peer. `auto` gets
the memory that others are held to, 1.10 / P of the weights. Exit status 1 if an answer is wrong or a share too large.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.verify import verify
from partition import Options
from partition.compile import lay_out, prepare
from partition.traffic import traffic
from zoo.card import Arrays
from zoo.registry import get_card

CARDS = ("decoder", "encoder", "experts", "lstm", "mobilenet", "recommender", "resnet", "unet", "vit")
WORKERS = (2, 4, 8)
# strategy -> the most that one rank may hold, times an equal share.
LIMITS: Mapping[str, float] = {"row": 1.10, "column": 1.10, "auto": 1.10, "pipeline": 1.25}
# What cannot be held to a limit, and why.
EXEMPT: Mapping[str, str] = {
    "lstm": "every step of a recurrence needs all hidden units, so of its weights only the two directions are divided",
}


@dataclass(frozen=True)
class Row:
    """One card under one strategy on one number of ranks.

    share:           what the fullest rank holds of the weights, times the number of ranks; 1.0 = an equal share.
    predicted_bytes: to be exchanged, as the compiler knows before; None = it says that it cannot tell.
    """

    card: str
    strategy: str
    workers: int
    share: float
    exchanged_bytes: int
    predicted_bytes: int | None
    max_rel_err: float
    ok: bool

    @property
    def holds(self) -> bool:
        """Whether the answer is right, the bytes were foretold, and the share is within its limit, or exempt."""
        foretold = self.predicted_bytes in (None, self.exchanged_bytes)
        return self.ok and foretold and (self.card in EXEMPT or self.share <= LIMITS[self.strategy])


def measure(
    name: str,
    folder: Path,
    strategies: Sequence[str],
    workers: Iterable[int],
    given: Mapping[str, object] | None = None,
) -> Iterator[Row]:
    """The rows of one card, built in `folder` with the options `given`."""
    card = get_card(name)
    options = card.parse(given or {})
    path, inputs = card.build(options, folder), card.inputs(options, 1)
    weight_bytes = verify(path, inputs, 1, "serial").model_weight_bytes
    for strategy in strategies:
        for count in workers:
            limit = int(LIMITS["auto"] * weight_bytes / count)
            shapes = {name: array.shape for name, array in inputs.items()}
            limited = strategy == "auto" and name not in EXEMPT
            settings = Options(memory_bytes=limit if limited else None, shapes=shapes)
            report = verify(path, inputs, count, strategy, settings)
            share = max(rank.weight_bytes for rank in report.ranks) * count / report.model_weight_bytes
            sent = predict(path, inputs, count, strategy, settings)
            yield Row(name, strategy, count, share, report.exchanged_bytes, sent, report.max_rel_err, report.ok)


def predict(path: Path, inputs: Arrays, workers: int, strategy: str, settings: Options) -> int | None:
    """Bytes that all ranks will send for these inputs; None if the compiler cannot tell."""
    _, layout = lay_out(prepare(path, settings), strategy, workers, settings)
    sent = traffic(layout, {name: array.shape for name, array in inputs.items()}, {})
    return sum(item.nbytes for item in sent) if all(item.exact for item in sent) else None


def markdown(rows: Sequence[Row]) -> str:
    """A table with a line per card and strategy: share and exchanged bytes for every number of ranks."""
    counts = sorted({row.workers for row in rows})
    cells = {(row.card, row.strategy, row.workers): _cell(row) for row in rows}
    lines = [
        f"| card | strategy | {' | '.join(f'P = {count}' for count in counts)} |",
        "|---|---|" + "---|" * len(counts),
    ]
    for card, strategy in dict.fromkeys((row.card, row.strategy) for row in rows):
        found = (cells.get((card, strategy, count), "") for count in counts)
        lines.append(f"| {card} | {strategy} | {' | '.join(found)} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    mark = "" if row.holds else " **missed**"
    foretold = "" if row.predicted_bytes == row.exchanged_bytes else f" ({_shown(row.predicted_bytes)} foretold)"
    return f"{row.share:.3f}, {row.exchanged_bytes:,} B{foretold}{'' if row.ok else ' **wrong**'}{mark}"


def _shown(number: int | None) -> str:
    return "not" if number is None else f"{number:,}"


def page(rows: Sequence[Row]) -> str:
    """The file of results."""
    worst = max(row.max_rel_err for row in rows)
    used = {row.strategy for row in rows}
    limits = ", ".join(f"{name} {limit:.2f}" for name, limit in LIMITS.items() if name in used)
    exempt = "\n".join(f"- {name} is exempt from the limits: {why}." for name, why in EXEMPT.items())
    return f"{_HEAD.format(limits=limits, worst=worst)}\n{markdown(rows)}\n\n{exempt}\n"


_HEAD = """# Built networks, divided

`python -m bench.cards --output bench/results/cards.md`, one example each. A cell: what the fullest rank holds of the
weights, times P (1.000 = an equal share), and the bytes of the tensors that all ranks send, which are those that the
compiler foretold unless the cell says otherwise. Largest shares allowed:
{limits}; `auto` is given that much memory.
All answers are onnxruntime's, the worst within {worst:.1e} of an output's largest value.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cards", description=__doc__)
    parser.add_argument("--cards", nargs="+", default=CARDS, choices=CARDS)
    parser.add_argument("--strategies", nargs="+", default=list(LIMITS), choices=list(LIMITS))
    parser.add_argument("--workers", nargs="+", type=int, default=WORKERS)
    parser.add_argument("--output", type=Path, help="write the page there")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    for name in options.cards:
        with tempfile.TemporaryDirectory(prefix="fsd-") as folder:
            for row in measure(name, Path(folder), options.strategies, options.workers):
                rows.append(row)
                print(f"{row.card} {row.strategy} x {row.workers}: {_cell(row)}", flush=True)
    if options.output:
        options.output.write_text(page(rows))
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
