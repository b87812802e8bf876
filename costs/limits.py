"""What AWS allows, each limit with its unit, source and date. The other packages take such numbers from here."""

from __future__ import annotations

from dataclasses import dataclass

LAMBDA_QUOTAS = "Lambda quotas, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
LAMBDA_ASYNC = "Lambda asynchronous invocation, https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html"
LAMBDA_MEMORY = "Lambda memory, https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"
LAMBDA_LOOPS = "Lambda recursive loop detection, https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"
SQS_QUOTAS = (
    "SQS quotas, https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"
)
SQS_API = "SQS API reference, https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html"
SNS_QUOTAS = "SNS quotas, https://docs.aws.amazon.com/general/latest/gr/sns.html"
SNS_LARGE = "SNS large messages, https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html"
SNS_FILTERS = (
    "SNS filter policies, https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html"
)
S3_SPEED = "S3 performance, https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"
S3_API = "S3 API reference, https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html"

LOGS_QUOTAS = (
    "CloudWatch Logs quotas, https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"
)


@dataclass(frozen=True)
class Limit:
    """One limit or billing step of AWS.

    value:  the number itself, in `unit`; the largest allowed unless the name says otherwise.
    unit:   "bytes", "seconds", "MB", ...
    source: page that states it.
    as_of:  month of that page, YYYY-MM.
    """

    value: int
    unit: str
    source: str
    as_of: str


# Lambda
LAMBDA_ASYNC_PAYLOAD = Limit(1024**2, "bytes", LAMBDA_QUOTAS, "2026-05")
LAMBDA_ASYNC_RETRIES = Limit(2, "retries", LAMBDA_ASYNC, "2026-05")
LAMBDA_CHAIN = Limit(16, "invocations in one chain, about", LAMBDA_LOOPS, "2026-05")
LAMBDA_CONCURRENCY = Limit(1_000, "concurrent executions", LAMBDA_QUOTAS, "2026-05")
LAMBDA_CONCURRENCY_NEW_ACCOUNT = Limit(10, "concurrent executions, often", LAMBDA_QUOTAS, "2026-05")
LAMBDA_DISK = Limit(10_240, "MB", LAMBDA_QUOTAS, "2026-05")
LAMBDA_DISK_DEFAULT = Limit(512, "MB", LAMBDA_QUOTAS, "2026-05")
LAMBDA_EVENT_AGE = Limit(6 * 3600, "seconds", LAMBDA_ASYNC, "2026-05")
LAMBDA_MEMORY_LEAST = Limit(128, "MB", LAMBDA_QUOTAS, "2026-05")
LAMBDA_MEMORY_MOST = Limit(10_240, "MB", LAMBDA_QUOTAS, "2026-05")
LAMBDA_MEMORY_NEW_ACCOUNT = Limit(3_008, "MB, often, not confirmed", LAMBDA_QUOTAS, "2026-05")
LAMBDA_MEMORY_PER_VCPU = Limit(1_769, "MB", LAMBDA_MEMORY, "2026-05")
LAMBDA_PACKAGE_UNZIPPED = Limit(250 * 1024**2, "bytes", LAMBDA_QUOTAS, "2026-05")
LAMBDA_SYNC_PAYLOAD = Limit(6 * 1024**2, "bytes", LAMBDA_QUOTAS, "2026-05")
LAMBDA_TIMEOUT = Limit(900, "seconds", LAMBDA_QUOTAS, "2026-05")

# CloudWatch Logs
LOG_EVENT = Limit(256_000, "bytes of a log event that arrives whole, at least", LOGS_QUOTAS, "2025-04")

# SQS, standard queues
SQS_BATCH = Limit(10, "messages", SQS_QUOTAS, "2026-10")
SQS_BILLING_CHUNK = Limit(64 * 1024, "bytes", "Amazon SQS pricing, https://aws.amazon.com/sqs/pricing/", "2026-10")
SQS_DELETED_NAME_HELD = Limit(60, "seconds", SQS_API, "2026-10")
SQS_IN_FLIGHT = Limit(120_000, "messages", SQS_QUOTAS, "2026-10")
SQS_LONG_POLL = Limit(20, "seconds", SQS_API, "2026-10")
SQS_MESSAGE_ATTRIBUTES = Limit(10, "attributes", SQS_QUOTAS, "2026-10")
SQS_PAYLOAD = Limit(1024**2, "bytes of a message, and of a batch", SQS_QUOTAS, "2026-10")
SQS_PURGE_INTERVAL = Limit(60, "seconds", SQS_API, "2026-10")
SQS_RETENTION_LEAST = Limit(60, "seconds", SQS_QUOTAS, "2026-10")
SQS_RETENTION_MOST = Limit(14 * 86_400, "seconds", SQS_QUOTAS, "2026-10")

# SNS, standard topics
SNS_BATCH = Limit(10, "messages", SNS_QUOTAS, "2026-10")
SNS_BILLING_CHUNK = Limit(64 * 1024, "bytes", "Amazon SNS pricing, https://aws.amazon.com/sns/pricing/", "2026-10")
SNS_FILTER_DELAY = Limit(15 * 60, "seconds", SNS_FILTERS, "2026-10")
SNS_FILTER_POLICIES = Limit(200, "filter policies a topic", SNS_FILTERS, "2026-10")
SNS_LARGE_PAYLOAD = Limit(1024**2, "bytes, with the topic's MaximumMessageSize raised", SNS_LARGE, "2026-10")
SNS_LARGE_SUBSCRIPTIONS = Limit(100, "subscriptions of a topic with raised MaximumMessageSize", SNS_LARGE, "2026-10")
SNS_PAYLOAD = Limit(256 * 1024, "bytes of a message, and of a batch", SNS_QUOTAS, "2026-10")

# S3
S3_DELETE_KEYS = Limit(1_000, "keys in one DeleteObjects", S3_API, "2026-10")
S3_GET_RATE = Limit(5_500, "GET requests per second and prefix", S3_SPEED, "2026-10")
S3_LIST_KEYS = Limit(1_000, "keys in one ListObjectsV2", S3_API, "2026-10")
S3_PUT_RATE = Limit(3_500, "PUT requests per second and prefix", S3_SPEED, "2026-10")
