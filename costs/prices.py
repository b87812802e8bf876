"""What AWS charges, each price with its unit, region, source and date. Nothing else in the project holds a price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from costs.errors import UnknownPriceError

REGION = "us-east-1"
LAMBDA_PRICING = "AWS Lambda pricing, https://aws.amazon.com/lambda/pricing/"
SNS_PRICING = "Amazon SNS pricing, https://aws.amazon.com/sns/pricing/"
SQS_PRICING = "Amazon SQS pricing, https://aws.amazon.com/sqs/pricing/"
S3_PRICING = "Amazon S3 pricing, https://aws.amazon.com/s3/pricing/"
DIRECTORY_BUCKET = "--x-s3"  # how the name of every S3 Express One Zone bucket ends
PAPER = "J. Oakley, H. Ferhatosmanoglu, FSD-Inference, ICDE 2024, https://arxiv.org/abs/2403.15195"


@dataclass(frozen=True)
class Price:
    """One list price, without free tier or volume discount.

    usd:    US dollars for one `unit`.
    unit:   what is charged once.
    region: AWS region that the price holds in.
    source: page that states it.
    as_of:  month of that page, YYYY-MM.
    """

    usd: float
    unit: str
    region: str
    source: str
    as_of: str


def _price(usd: float, unit: str, source: str, as_of: str) -> Price:
    return Price(usd, unit, REGION, source, as_of)


PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "lambda.gb_second.arm64": _price(1.33334e-5, "GB-second", LAMBDA_PRICING, "2026-05"),
        "lambda.gb_second.x86_64": _price(1.66667e-5, "GB-second", LAMBDA_PRICING, "2026-05"),
        "lambda.request": _price(2e-7, "invocation", LAMBDA_PRICING, "2026-05"),
        "s3.delete": _price(0.0, "DELETE or CANCEL request", S3_PRICING, "2026-10"),
        "s3.get": _price(4e-7, "GET, SELECT or other request", S3_PRICING, "2026-10"),
        "s3.put": _price(5e-6, "PUT, COPY, POST or LIST request", S3_PRICING, "2026-10"),
        "s3express.get": _price(3e-8, "GET request", S3_PRICING, "2025-04"),
        "s3express.put": _price(1.13e-6, "PUT request", S3_PRICING, "2025-04"),
        "s3express.retrieved_gb": _price(6e-4, "GB retrieved", S3_PRICING, "2025-04"),
        "s3express.uploaded_gb": _price(3.2e-3, "GB uploaded", S3_PRICING, "2025-04"),
        "sns.request": _price(5e-7, "request of 64 KiB", SNS_PRICING, "2026-10"),
        # Not confirmed to be charged inside one region; the paper charges it. A bill shows it apart: docs/bill.md.
        "sns.to_sqs_byte": _price(0.09e-9, "byte from SNS to SQS", PAPER, "2024-03"),
        "sqs.request": _price(4e-7, "request of 64 KiB", SQS_PRICING, "2026-10"),
    }
)


def object_service(bucket: str) -> str:
    """Whose prices hold for a bucket: "s3", or "s3express" for one of S3 Express One Zone."""
    return "s3express" if bucket.endswith(DIRECTORY_BUCKET) else "s3"


def prices_for(region: str) -> Mapping[str, Price]:
    """The price table of an AWS region, keyed by name.

    Raises:
        UnknownPriceError: no table is on file for the region.
    """
    if region != REGION:
        raise UnknownPriceError(f"prices: no table for region {region!r}; on file: {REGION!r}")
    return PRICES
