"""Every built network of the zoo, divided: shares of the weights, exchanged bytes, answers: `python -m bench.cards`.

Each runs at full size with one example, on 2, 4 and 8 ranks in this process; plain onnxruntime is the peer. `auto` gets
the memory that others are held to, 1.10 / P of the weights, and must send little: at most SLACK times the least of all
strategies that fit that, as the compiler foretells it. Exit status 1 if an answer or a prediction is wrong, a share too
large, or `auto` sends too much.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from client.verify import verify
from partition import Options, UnsupportedModelError
from partition.compile import Prepared, lay_out, prepare
from partition.grid import parse_strategy
from partition.held import layout_bytes
from partition.traffic import traffic
from zoo.card import Arrays
from zoo.registry import get_card

CARDS = ("decoder", "encoder", "experts", "lstm", "mobilenet", "recommender", "resnet", "unet", "vit")
WORKERS = (2, 4, 8)
# strategy -> the most that one rank may hold, times an equal share.
LIMITS: Mapping[str, float] = {"row": 1.10, "column": 1.10, "auto": 1.10, "pipeline": 1.25}
SLACK = 1.05  # times the least that any strategy sends which fits, `auto` may send
_WITHIN = ("row", "column", "tensor")
# What cannot be held to a limit, and why.
EXEMPT: Mapping[str, str] = {
    "lstm": (
        "every step of a recurrence needs all hidden units, so of its weights only the two directions are divided; "
        "where no strategy fits 1.10, `auto` is given what the best of them needs"
    ),
}


@dataclass(frozen=True)
class Row:
    """One card under one strategy on one number of ranks.

    share:           what the fullest rank holds of the weights, times the number of ranks; 1.0 = an equal share.
    predicted_bytes: to be exchanged, as the compiler knows before; None = it says that it cannot tell.
    least_bytes:     that any other strategy exchanges which fits the memory given; None = not asked, or none fits.
    """

    card: str
    strategy: str
    workers: int
    share: float
    exchanged_bytes: int
    predicted_bytes: int | None
    max_rel_err: float
    ok: bool
    least_bytes: int | None = None

    @property
    def foretold(self) -> bool:
        """Whether the compiler knew the bytes; where it says that it cannot tell, it need not."""
        return self.predicted_bytes in (None, self.exchanged_bytes)

    @property
    def fits(self) -> bool:
        """Whether the share is within its strategy's limit, or the card exempt."""
        return self.card in EXEMPT or self.share <= LIMITS[self.strategy]

    @property
    def frugal(self) -> bool:
        """Whether hardly more is sent than by what sends least."""
        return self.least_bytes is None or self.exchanged_bytes <= SLACK * self.least_bytes

    @property
    def holds(self) -> bool:
        """Whether all is as it should be."""
        return self.ok and self.foretold and self.fits and self.frugal


@dataclass(frozen=True)
class Network:
    """A card, built, with one example.

    weight_bytes: of the model.
    """

    card: str
    path: Path
    inputs: Arrays
    weight_bytes: int

    @cached_property
    def options(self) -> Options:
        """The sizes to expect, no limit."""
        return Options(shapes={name: array.shape for name, array in self.inputs.items()})

    @cached_property
    def prepared(self) -> Prepared:
        """As the compiler reads it."""
        return prepare(self.path, self.options)

    def row(self, strategy: str, workers: int) -> Row:
        """Run it, and hold it against what was foretold."""
        others = list(self.others(workers)) if strategy == "auto" else []
        limit = self.limit(others, workers) if strategy == "auto" else None
        settings = replace(self.options, memory_bytes=limit)
        report = verify(self.path, self.inputs, workers, strategy, settings)
        share = max(rank.weight_bytes for rank in report.ranks) * workers / report.model_weight_bytes
        _, sent = self.foretell(strategy, workers, settings)
        least = min((nbytes for held, nbytes in others if nbytes is not None and held <= (limit or held)), default=None)
        sent_bytes, error = report.exchanged_bytes, report.max_rel_err
        return Row(self.card, strategy, workers, share, sent_bytes, sent, error, report.ok, least)

    def limit(self, others: Iterable[tuple[int, int | None]], workers: int) -> int:
        """Bytes that a rank may hold under `auto`; where a card is exempt, at least what some strategy needs."""
        limit = int(LIMITS["auto"] * self.weight_bytes / workers)
        return max(limit, min(held for held, _ in others)) if self.card in EXEMPT else limit

    def others(self, workers: int) -> Iterator[tuple[int, int | None]]:
        """What the fullest rank holds under each other strategy, and what it sends: within the limit where that can be.

        Groups that share the samples are left out, as there is one sample.
        """
        within = replace(self.options, weight_share=LIMITS["auto"])
        for strategy in named(workers):
            for settings in (within, self.options) if self.card in EXEMPT else (within,):
                try:
                    yield self.foretell(strategy, workers, settings)
                except UnsupportedModelError:
                    continue
                break

    def foretell(self, strategy: str, workers: int, settings: Options) -> tuple[int, int | None]:
        """Bytes on the fullest rank, and bytes that all will send; None if the compiler cannot tell.

        Raises:
            UnsupportedModelError: if the limit in `settings` cannot be kept.
        """
        _, layout = lay_out(self.prepared, parse_strategy(strategy, workers), workers, settings)
        sent = traffic(layout, {name: array.shape for name, array in self.inputs.items()}, {})
        total = sum(item.nbytes for item in sent) if all(item.exact for item in sent) else None
        return max(layout_bytes(layout)), total


def named(workers: int) -> Iterator[str]:
    """Every strategy that divides the model itself, grids of stages among them."""
    yield from (*_WITHIN, "pipeline")
    for stages in (size for size in range(2, workers) if workers % size == 0):
        yield from (f"stage={stages},{within}={workers // stages}" for within in _WITHIN)


def measure(
    name: str,
    folder: Path,
    strategies: Sequence[str],
    workers: Sequence[int],
    given: Mapping[str, object] | None = None,
) -> Iterator[Row]:
    """The rows of one card, built in `folder` with the options `given`."""
    card = get_card(name)
    options = card.parse(given or {})
    path, inputs = card.build(options, folder), card.inputs(options, 1)
    network = Network(name, path, inputs, verify(path, inputs, 1, "serial").model_weight_bytes)
    for strategy in strategies:
        yield from (network.row(strategy, count) for count in workers)


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
    least = "" if row.least_bytes is None else f" (least {row.least_bytes:,})"
    return f"{row.share:.3f}, {row.exchanged_bytes:,} B{foretold}{least}{'' if row.ok else ' **wrong**'}{mark}"


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
{limits}; `auto` is given that much memory, and "least" is what the most frugal of all
other strategies that fit it would send: row, column, tensor, pipeline, and grids of stages and one of these.
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
