"""Renews a lease while its run goes on, so that the lane of a crashed run is free again within a minute.

A thread does it, because a kernel may compute for longer than a lease lasts.
"""

from __future__ import annotations

import threading
from types import TracebackType

from botocore.exceptions import BotoCoreError, ClientError

from runs.errors import LeaseLost
from runs.lease import LaneTable, Lease

# A lease outlives three renewals that fail. One PUT each: 1.5e-5 USD a minute.
LEASE_S = 60.0
RENEW_S = 20.0


class LeaseKeeper:
    """Keeps one lease for the length of a block; `lease` is its newest version."""

    def __init__(self, lanes: LaneTable, lease: Lease, *, lease_s: float = LEASE_S, renew_s: float = RENEW_S) -> None:
        self.lease = lease
        self._lanes = lanes
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._lost: LeaseLost | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{lease.lane}", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Renew no more: from now on `lease` stays as it is."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise if the lane is another run's by now; for the watch.

        Raises:
            LeaseLost: it is.
        """
        if self._lost is not None:
            raise self._lost

    def _keep(self) -> None:
        while not self._stop.wait(self._renew_s):
            try:
                self.lease = self._lanes.renew(self.lease, self._lease_s)
            except LeaseLost as error:
                self._lost = error
                return
            except (ClientError, BotoCoreError):
                continue  # S3 did not answer: the lease lasts for two more tries
