"""What a worker is told when it is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StartMessage:
    """Event of the `worker` function: one slot of one attempt.

    prefer:   what the run makes small, "usd" or "seconds".
    deadline: seconds since 1970.
    mac_key:  hex digits of the run's secret, which signs its frames.
    """

    run_id: str
    attempt: int
    lane: int
    epoch: int
    slot: int
    slots: int
    bundle_id: str
    channel: str
    prefer: str
    deadline: float
    mac_key: str = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The event."""
        return asdict(self)

    @staticmethod
    def from_json(event: Mapping[str, Any]) -> StartMessage:
        """The message that an event holds.

        Raises:
            ValueError: a field is missing, unknown or of another type.
        """
        fields = StartMessage.__dataclass_fields__
        if set(event) != set(fields):
            raise ValueError(f"start message: expected the fields {sorted(fields)}, got {sorted(event)}")
        kinds: dict[str, Any] = {"int": int, "float": (int, float), "str": str}
        for name, spec in fields.items():
            if not isinstance(event[name], kinds[str(spec.type)]):
                raise ValueError(f"start message: {name}: expected {spec.type}, got {type(event[name]).__name__}")
        return StartMessage(**event)
