"""What one rank did in a run: the figures that it sends to rank 0 at its end, and the run's answer adds up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from costs.calls import CallCount, calls_from_json, calls_to_json


@dataclass(frozen=True)
class RankReport:
    """Figures of one rank.

    seconds:     from the start of its function's handler until the report.
    load_s:      loading its program, graphs and weights; compute_s: its kernels; wait_s: waiting for messages.
    exchange_s:  exchanges but for receiving: choosing, encoding, sending, placing rows.
    encode_s, decode_s: tensors to frames, payloads to tensors.
    call_s:      waiting for the answers to the channel's own requests; long polls count as wait_s.
    peak_bytes:  peak resident memory of the process; tensor_bytes: peak of its live tensors.
    weight_bytes: of its shard; shard_loads: assets it had to fetch for this run.
    live_samples: by sparse layer, samples that were not all zero on this rank.
    """

    rank: int
    slot: int
    request_id: str
    memory_mb: int
    seconds: float
    load_s: float
    compute_s: float
    wait_s: float
    exchange_s: float
    encode_s: float
    decode_s: float
    call_s: float
    peak_bytes: int
    tensor_bytes: int
    weight_bytes: int
    shard_loads: int
    cold: bool
    live_samples: tuple[int, ...] = ()
    calls: Mapping[str, CallCount] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For the report message."""
        return asdict(self) | {"calls": calls_to_json(self.calls), "live_samples": list(self.live_samples)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> RankReport:
        """The report in a message.

        Raises:
            TypeError, ValueError: it is none.
        """
        fields = dict(document)
        return RankReport(
            **fields | {"calls": calls_from_json(fields["calls"]), "live_samples": tuple(fields["live_samples"])}
        )

    def summary(self) -> dict[str, Any]:
        """For the answer: everything but the calls, which are added up over the ranks."""
        fields = self.to_json()
        for name in ("calls", "slot", "memory_mb"):
            del fields[name]
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in fields.items()}
