"""Which axes before a Reshape hold the same elements as which axes after it.

Both lists of sizes are read from the front and from the back, in the shortest groups of equal products. A size is a
number, or a text that stands for one which the request chooses; it equals itself alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Size = int | str
_Group = tuple[int, int]


def axis_groups(left: Sequence[Size], right: Sequence[Size]) -> Iterator[tuple[range, range]]:
    """Groups of axes from the front, what is left in the middle, and groups from the back."""
    front = list(_equal_groups(left, right))
    i, j = sum(n for n, _ in front), sum(n for _, n in front)
    back = list(_equal_groups(left[i:][::-1], right[j:][::-1]))[::-1]
    k, m = sum(n for n, _ in back), sum(n for _, n in back)
    middle = (len(left) - i - k, len(right) - j - m)
    a = b = 0
    for n, o in (*front, *([middle] if any(middle) else []), *back):
        yield range(a, a + n), range(b, b + o)
        a, b = a + n, b + o


def _equal_groups(left: Sequence[Size], right: Sequence[Size]) -> Iterator[_Group]:
    i = j = 0
    while i < len(left) and j < len(right):
        group = (1, 1) if left[i] == right[j] else _equal_products(left[i:], right[j:])
        if group is None:
            return
        yield group
        i, j = i + group[0], j + group[1]


def _equal_products(left: Sequence[Size], right: Sequence[Size]) -> _Group | None:
    """The shortest beginnings of one product; None if a size in between is not known."""
    counts, products = [0, 0], [1, 1]
    while products[0] != products[1] or not all(counts):
        side = int(products[0] > products[1]) if all(counts) else counts.index(0)
        sizes = (left, right)[side]
        size = sizes[counts[side]] if counts[side] < len(sizes) else ""
        if not isinstance(size, int):
            return None
        products[side] *= size
        counts[side] += 1
    return counts[0], counts[1]
