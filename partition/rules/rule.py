"""A sharding rule: it names the axes of an op's inputs and outputs by letters.

    a m k, a k n -> a m n; reduce k: sum; row n; column k; linear 0 | 1

reads: axes of the same letter are divided together; `k` disappears and its pieces are summed; `row` and `column` name
the letters of output and input neurons where an input is a weight; the op is linear in input 0 and in input 1, so that
an unsummed (Partial) input gives an unsummed output; `0 1` without a bar would mean: linear in both together. `whole`
lists letters that must not be divided, `solid` those whose pieces must not be empty. An axis written `1` has size 1 and
is repeated as needed; an input written `-` has no letters (absent, a scalar, or read whole by all).

    b q (h 64), b k (h 64), b k (h 64) -> b q (h 64); units h: num_heads
    b s (x h d), - -> b s x h d; sizes 1

An axis may be several in one, the slowest first, as einops writes it: letters, and numbers for what has no name. It
can be divided along each of its letters, in whole multiples of what is behind the letter, and in each of the blocks
that are before it. `units h: num_heads` says that the attribute counts the letter: each rank counts its own part.
`sizes 1` says that input 1, a constant, lists the sizes of the first output: each rank gets those of its own part.
`places v: 1` says that input 1 holds places along `v`: a rank looks up those in its own part, and has 0 for the others.
`directions d` says that `d` are the directions of a recurrent cell: a rank computes one, and its attributes say which.
`guard b` says that the op refuses an empty piece of `b`: a rank without any gives it one element of zeros, and drops
what comes of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from partition.errors import RuleError

Letters = tuple[str, ...]
REPEATED = "1"
_WORDS = ("reduce", "whole", "row", "column", "linear", "solid", "units", "sizes", "places", "directions", "guard")


@dataclass(frozen=True)
class Rule:
    """See the module; inputs and outputs hold one tuple of letters per tensor.

    reduce: letter -> "sum", "max", "min" or "prod": how the pieces' outputs are combined.
    whole:  letters that every rank needs in full.
    row:    letter of the weight's output neurons; empty when no input is a weight.
    column: letter of the weight's input neurons.
    linear: sets of inputs that may be Partial("sum") together, which makes every output so.
    solid:  letters that are divided only where every rank surely gets a part.
    units:  letter -> attributes that count it, or a multiple of it (groups, heads); such a letter is solid too.
    sizes:  the input that lists the sizes of the first output; None = there is none.
    places: letter -> the input that holds places along it.
    directions: letter of the directions of a recurrent cell; empty = not divided along them.
    guard:  letters whose pieces may be empty only if nobody notices; every output has them.
    """

    inputs: tuple[Letters, ...]
    outputs: tuple[Letters, ...]
    reduce: dict[str, str] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    row: str = ""
    column: str = ""
    linear: tuple[frozenset[int], ...] = ()
    solid: frozenset[str] = frozenset()
    units: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sizes: int | None = None
    places: dict[str, int] = field(default_factory=dict)
    directions: str = ""
    guard: frozenset[str] = frozenset()

    @cached_property
    def is_composite(self) -> bool:
        """Whether some axis is several in one."""
        return any(axis.startswith("(") for axes in (*self.inputs, *self.outputs) for axis in axes)

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """Letters that may be divided, in order of appearance."""
        seen = dict.fromkeys(name for axes in self.inputs for axis in axes for name in factors(axis))
        return tuple(name for name in seen if not name.isdigit() and name not in self.whole and self._told(name))

    def _told(self, letter: str) -> bool:
        """Whether every output says what becomes of the letter."""
        return letter in self.reduce or all(any(letter in factors(axis) for axis in axes) for axes in self.outputs)

    def __str__(self) -> str:
        parts = [f"{_tensors(self.inputs)} -> {_tensors(self.outputs)}"]
        parts += [f"reduce {letter}: {op}" for letter, op in self.reduce.items()]
        parts += [f"whole {' '.join(sorted(self.whole))}"] if self.whole else []
        parts += [f"{word} {letter}" for word, letter in (("row", self.row), ("column", self.column)) if letter]
        parts += ["linear " + " | ".join(" ".join(map(str, sorted(s))) for s in self.linear)] if self.linear else []
        parts += [f"solid {' '.join(sorted(self.solid))}"] if self.solid else []
        parts += [f"units {letter}: {' '.join(names)}" for letter, names in self.units.items()]
        parts += [f"sizes {self.sizes}"] if self.sizes is not None else []
        parts += [f"places {letter}: {position}" for letter, position in self.places.items()]
        parts += [f"directions {self.directions}"] if self.directions else []
        parts += [f"guard {' '.join(sorted(self.guard))}"] if self.guard else []
        return "; ".join(parts)

    @staticmethod
    def parse(text: str) -> Rule:
        """The rule that a text means; the inverse of str().

        Raises:
            RuleError: if the text is malformed.
        """
        head, *clauses = (part.strip() for part in text.split(";"))
        if head.count("->") != 1:
            raise RuleError(f"rule {text!r}: expected 'inputs -> outputs', got {head!r}")
        left, right = head.split("->")
        found = _clauses(text, clauses)
        return Rule(
            _letters(left),
            _letters(right),
            reduce=dict(_reduction(text, item) for item in found.get("reduce", [])),
            whole=frozenset(" ".join(found.get("whole", [])).split()),
            row="".join(found.get("row", [])),
            column="".join(found.get("column", [])),
            linear=_linear(found.get("linear", [])),
            solid=frozenset(" ".join(found.get("solid", [])).split()),
            units=dict(_units(text, item) for item in found.get("units", [])),
            sizes=next((int(item) for item in found.get("sizes", [])), None),
            places={letter: int(names[0]) for letter, names in (_units(text, x) for x in found.get("places", []))},
            directions="".join(found.get("directions", [])),
            guard=frozenset(" ".join(found.get("guard", [])).split()),
        )


def factors(axis: str) -> tuple[str, ...]:
    """What an axis consists of, the slowest first: `h` is h alone, `(3 h 64)` is 3, h and 64."""
    return tuple(axis.strip("()").split())


def composite(*names: str | int) -> str:
    """The axis that consists of these letters and numbers; one alone needs no brackets."""
    return f"({' '.join(map(str, names))})" if len(names) != 1 else str(names[0])


def _tensors(tensors: tuple[Letters, ...]) -> str:
    return ", ".join(" ".join(axes) or "-" for axes in tensors)


def _letters(text: str) -> tuple[Letters, ...]:
    tensors = (re.findall(r"\([^)]*\)|[^\s()]+", part) for part in text.split(","))
    return tuple(tuple(axis for axis in axes if axis != "-") for axes in tensors)


def _clauses(text: str, clauses: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for clause in clauses:
        word, _, rest = clause.partition(" ")
        if word not in _WORDS:
            raise RuleError(f"rule {text!r}: expected one of {', '.join(_WORDS)}, got {clause!r}")
        found.setdefault(word, []).append(rest.strip())
    return found


def _reduction(text: str, item: str) -> tuple[str, str]:
    letter, colon, op = item.partition(":")
    if not colon or op.strip() not in ("sum", "max", "min", "prod"):
        raise RuleError(f"rule {text!r}: expected 'reduce letter: sum|max|min|prod', got {item!r}")
    return letter.strip(), op.strip()


def _units(text: str, item: str) -> tuple[str, tuple[str, ...]]:
    letter, colon, names = item.partition(":")
    if not colon or not names.split():
        raise RuleError(f"rule {text!r}: expected 'units letter: attributes', got {item!r}")
    return letter.strip(), tuple(names.split())


def _linear(items: list[str]) -> tuple[frozenset[int], ...]:
    return tuple(frozenset(map(int, part.split())) for item in items for part in item.split("|"))
