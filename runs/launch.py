"""Start the workers of a run: asynchronous invocations of the `worker` function, all at once.

First the account's quota is read: a run that cannot get its slots is refused before anything has started.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from runs.errors import NoFreeSlots, QuotaTooSmall, StartFailed
from runs.service import Service
from runs.start import StartMessage

QUOTA_TTL_S = 300.0
PARALLEL_STARTS = 16


def check_quota(service: Service, needed: int) -> None:
    """Refuse a run that needs more concurrent executions than the account has.

    Raises:
        QuotaTooSmall: needed and available.
    """
    available = concurrency_quota(service)
    if needed > available:
        raise QuotaTooSmall(
            f"needed {needed} concurrent functions, available {available}: "
            "register the model with fewer workers, or raise the account's Lambda concurrency quota"
        )


def concurrency_quota(service: Service) -> int:
    """Concurrent executions that the account's functions share, read at most every QUOTA_TTL_S."""
    now = time.monotonic()
    if service.quota is None or now - service.quota[0] > QUOTA_TTL_S:
        limits = service.clients.functions.get_account_settings()["AccountLimit"]
        service.quota = (now, int(limits["UnreservedConcurrentExecutions"]))
    return service.quota[1]


def start_workers(service: Service, messages: Sequence[StartMessage]) -> None:
    """Invoke one worker per message; return when Lambda has accepted them all.

    Raises:
        NoFreeSlots, StartFailed: an invocation was refused; others may run: abort them.
    """
    if not messages:
        return
    with ThreadPoolExecutor(min(PARALLEL_STARTS, len(messages))) as pool:
        refused = [refusal for refusal in pool.map(lambda message: _start(service, message), messages) if refusal]
    if refused:
        needed = len(messages) + 1
        text = f"needed {needed} slots, got {needed - len(refused)}: slot {refused[0].slot} was not started: "
        kind = NoFreeSlots if all(refusal.throttled for refusal in refused) else StartFailed
        raise kind(f"{text}{refused[0].error}")


@dataclass(frozen=True)
class _Refusal:
    slot: int
    error: Exception

    @property
    def throttled(self) -> bool:
        """Whether Lambda has no slot for it now."""
        response = self.error.response if isinstance(self.error, ClientError) else {}
        return response.get("Error", {}).get("Code") == "TooManyRequestsException"


def _start(service: Service, message: StartMessage) -> _Refusal | None:
    try:
        service.clients.functions.invoke(
            FunctionName=service.settings.worker_function,
            InvocationType="Event",
            Payload=json.dumps(message.to_json()).encode(),
        )
    except (ClientError, BotoCoreError) as error:
        return _Refusal(message.slot, error)
    return None
