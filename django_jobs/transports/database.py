"""No bell at all: workers look into the table. The default; nothing to install, about a second of latency."""

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django_jobs.transports.base import Bell, Taken, Transport


class DatabaseTransport(Transport):
    name: ClassVar[str] = "database"
    hands_out: ClassVar[bool] = False

    def __init__(self) -> None:
        self._rung = threading.Event()

    def announce(self, bells: Sequence[Bell]) -> None:
        """Wake the waiting worker of this process; those of other processes look by themselves."""
        self._rung.set()

    def take(
        self,
        taker: UUID,
        queue_names: Sequence[str],
        limit: int,
        now: datetime,
        batch: int,
        shares: Sequence[int] = (),
    ) -> Taken | None:
        return None

    def wait(self, queue_names: Sequence[str], seconds: float) -> None:
        self._rung.wait(seconds)
        self._rung.clear()

    def wake(self) -> None:
        self._rung.set()

    def describe(self) -> str:
        return f"database (workers look every {self.poll_seconds:g} s; Redis would start jobs within milliseconds)"
