"""Where rank 0 hears that a worker is dead: Lambda's record of the failed invocation comes to the lane's slot 0."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from runs.errors import NoFreeSlots, StartFailed
from runs.faults import SlotFailed, parse_failure
from runs.service import Service
from runs.watch import Watch

# One receive, 4e-7 USD: a hundredth of what a second of the functions that wait costs.
POLL_S = 1.0


class FailureDesk:
    """Takes the notices of one run.

    mac_key: the run's secret; a notice without it is not Lambda's.
    attempt: the one under way; notices of earlier ones mean nothing.
    too_few: while workers are being started, the error that a worker that never started means.
    """

    def __init__(self, run_id: str, attempt: int, mac_key: str) -> None:
        self._run_id = run_id
        self._mac_key = mac_key
        self.attempt = attempt
        self.too_few: Callable[[str], StartFailed] | None = None

    def receive(self, text: str) -> None:
        """Raise what a notice means for this run; a notice of another run, or a forged one, means nothing.

        Raises:
            StartFailed: the worker never started.
            SlotFailed: it did not end well.
        """
        notice = parse_failure(text)
        if notice is None or (notice.run_id, notice.attempt) != (self._run_id, self.attempt):
            return
        if not hmac.compare_digest(notice.mac_key.encode(), self._mac_key.encode()):
            return
        if notice.fault.throttled and self.too_few is not None:
            raise NoFreeSlots(str(self.too_few(f"slot {notice.fault.slot}: {notice.fault.cause}")))
        raise SlotFailed(notice.fault)

    def poll_queue(self, watch: Watch, service: Service, lane: int) -> None:
        """Look into the queue every POLL_S, for runs whose channel does not listen to it."""
        url = service.settings.queue_url(lane, 0)

        def look() -> None:
            messages = service.clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get(
                "Messages", []
            )
            if messages:
                entries = [
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                    for index, message in enumerate(messages)
                ]
                service.clients.sqs.delete_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]
            for message in messages:
                self.receive(message["Body"])

        watch.poll(POLL_S, look)
