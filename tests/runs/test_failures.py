"""A failure notice is believed only from who knows the run's key."""

from __future__ import annotations

import json

import pytest

from runs.failures import FailureDesk
from runs.faults import SlotFailed

RUN_ID = "ab" * 16


def notice(**start: object) -> str:
    """Lambda's record of a worker that died, as far as `start` says."""
    payload = {"run_id": RUN_ID, "attempt": 1, "slot": 2, "mac_key": "secret", **start}
    return json.dumps({"requestPayload": payload, "responsePayload": {"errorType": "E", "errorMessage": "m"}})


def test_lambdas_own_notice_ends_the_attempt() -> None:
    with pytest.raises(SlotFailed, match="slot 2: E: m"):
        FailureDesk(RUN_ID, 1, "secret").receive(notice())


@pytest.mark.parametrize(
    "text",
    [notice(mac_key="guess"), notice(mac_key=""), notice(mac_key="Ω"), notice(attempt=2), notice(run_id="0" * 32), "{"],
)
def test_a_forged_notice_means_nothing(text: str) -> None:
    FailureDesk(RUN_ID, 1, "secret").receive(text)
