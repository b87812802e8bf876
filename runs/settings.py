"""What the stack tells its functions about itself, by environment variables that serverless.yml sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_FIRST_QUEUE = "-lane-0-slot-0"
_FIRST_TOPIC = "-lane-0"


@dataclass(frozen=True)
class Settings:
    """One deployed stage.

    lanes, ranks: how many lanes there are, and queues in each of them.
    topic_prefix, queue_prefix: ARN of a lane's topic and URL of its queues, up to `-lane-`.
    line_queue: URL of the queue of the runs that wait for a lane while nobody waits for them.
    filter_delay_s: for so long after its creation a stack's topics are not trusted to filter.
    read_buckets: buckets beside `bucket` that requests may name.
    express_bucket: directory bucket that objects are exchanged by; empty = `bucket`.
    """

    stage: str
    bucket: str
    lanes: int
    ranks: int
    topic_prefix: str
    queue_prefix: str
    infer_function: str
    worker_function: str
    line_queue: str = ""
    filter_delay_s: float = 0.0
    read_buckets: tuple[str, ...] = ()
    express_bucket: str = ""

    @property
    def exchange_bucket(self) -> str:
        """Where the `object` and `hybrid` channels put what ranks exchange."""
        return self.express_bucket or self.bucket

    def topic_arn(self, lane: int) -> str:
        """ARN of the topic of a lane."""
        return f"{self.topic_prefix}-lane-{lane}"

    def queue_url(self, lane: int, slot: int) -> str:
        """URL of the queue that a slot of a lane receives from."""
        return f"{self.queue_prefix}-lane-{lane}-slot-{slot}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings of the stage that this function was deployed with.

    Raises:
        KeyError: a variable is missing: the function was not deployed by serverless.yml.
    """
    return Settings(
        stage=environment["FSD_STAGE"],
        bucket=environment["FSD_BUCKET"],
        lanes=int(environment["FSD_LANES"]),
        ranks=int(environment["FSD_RANKS"]),
        topic_prefix=environment["FSD_TOPIC_0"].removesuffix(_FIRST_TOPIC),
        queue_prefix=environment["FSD_QUEUE_0_0"].removesuffix(_FIRST_QUEUE),
        infer_function=environment["FSD_INFER_FUNCTION"],
        worker_function=environment["FSD_WORKER_FUNCTION"],
        line_queue=environment["FSD_LINE_QUEUE"],
        filter_delay_s=float(environment.get("FSD_FILTER_DELAY_S", "0")),
        read_buckets=tuple(name.strip() for name in environment.get("FSD_READ_BUCKETS", "").split(",") if name.strip()),
        express_bucket=environment.get("FSD_EXPRESS_BUCKET", ""),
    )
