"""The queue of the runs that nobody waits for and that found no lane: it calls `infer`, which calls them.

Not computed right here: an event of a queue that dies is delivered again only when its visibility timeout is over, that
of an asynchronous invocation within a minute or two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runs.service import Service


def is_from_line(event: object) -> bool:
    """Whether an event is what Lambda makes of the queue's messages."""
    return isinstance(event, Mapping) and isinstance(event.get("Records"), list)


def relay(service: Service, event: Mapping[str, Any]) -> list[str]:
    """Start an asynchronous invocation of `infer` per message; the runs that they go on with.

    Raises:
        ValueError, KeyError: a message that is not ours.
    """
    bodies = [str(record["body"]) for record in event["Records"]]
    runs = [str(json.loads(body)["resume"]) for body in bodies]
    for body in bodies:
        service.clients.functions.invoke(
            FunctionName=service.settings.infer_function, InvocationType="Event", Payload=body.encode()
        )
    return runs
