"""docs/bill.md quotes prices: it must quote the table's."""

from __future__ import annotations

import re
from pathlib import Path

from costs import PRICES

PAGE = Path(__file__).parents[2] / "docs" / "bill.md"


def test_the_page_quotes_every_price_and_its_date() -> None:
    words = PAGE.read_text().replace("|", " ").split()
    numbers = {float(word) for word in words if re.fullmatch(r"\d+(?:\.\d+)?(?:e-\d+)?", word)}
    for name, price in PRICES.items():
        assert price.usd in numbers, f"{name}: {price.usd} is not on the page"
        assert price.as_of in words or name == "sns.to_sqs_byte", name
