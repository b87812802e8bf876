"""The queue of what is to be done later: runs that nobody waits for and that found no lane, and lanes to be emptied.

It calls `infer`, which calls the runs. They are not computed right here: an event of a queue that dies is delivered
again only when its visibility timeout is over, that of an asynchronous invocation within a minute or two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runs.drain import drain_again
from runs.service import Service


def is_from_line(event: object) -> bool:
    """Whether an event is what Lambda makes of the queue's messages."""
    return isinstance(event, Mapping) and isinstance(event.get("Records"), list)


def relay(service: Service, event: Mapping[str, Any]) -> list[str]:
    """Do what each message says; the runs that they are about.

    Raises:
        ValueError, KeyError: a message that is not ours.
    """
    return [_relay(service, str(record["body"])) for record in event["Records"]]


def _relay(service: Service, body: str) -> str:
    word = json.loads(body)
    if "drain" in word:
        drain_again(service, word)
        return str(word["drain"])
    run_id = str(word["resume"])
    service.clients.functions.invoke(
        FunctionName=service.settings.infer_function, InvocationType="Event", Payload=body.encode()
    )
    return run_id
