"""Who this process is to the others: a row that beats, one for each life."""

import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import django_jobs
from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.identifiers import uuid7
from django_jobs.definitions.outcomes import Claim
from django_jobs.definitions.registry import job_names
from django_jobs.lifecycle.rescuing import say_goodbye
from django_jobs.lifecycle.workers import Orders, orders_of
from django_jobs.models import Worker
from django_jobs.transitions.due import now
from django_jobs.worker.board import Board


class Incarnation:
    """The identity under which a child claims, and the database's clock as the child knows it.

    `names`: the jobs that it can run, without them all that are registered. Without a board there is no supervisor.
    """

    def __init__(
        self,
        using: str,
        board: Board | None,
        queue_names: Sequence[str],
        concurrency: int,
        names: Sequence[str] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.using = using
        self.id: UUID = uuid7()
        self.names = job_names() if names is None else list(names)
        self._board, self._queue_names = board, list(queue_names)
        self._dead_after = get_settings().DEAD_AFTER_SECONDS
        self._registered_at = 0.0
        self.orders = Orders(concurrency, quiet)
        self._known_now: datetime
        self._known_at: float

    def register(self) -> None:
        """Begin a new life: a new id and a row for it."""
        self.id = uuid7()
        began = clock.monotonic()
        self.synchronize()
        Worker.objects.using(self.using).create(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            supervisor_pid=os.getppid() if self._board is not None else 0,
            version=django_jobs.__version__,
            queues=self._queue_names,
            names=self.names,
            concurrency=self.orders.concurrency,
            quiet=self.orders.quiet,
            started_at=self._known_now,
            beat_at=self._known_now,
        )
        self._registered_at = began
        if self._board is not None:
            self._board.set_worker(self.id)

    def is_heard(self) -> bool:
        """Whether its last sign of life is so recent that nobody can have declared it dead. Asks no database."""
        latest = clock.monotonic() - self._dead_after
        return self._registered_at > latest or (self._board is not None and self._board.last_beat > latest)

    def holds(self, claim: Claim) -> bool:
        """Whether a claim is surely still its own. Asked before a body begins: the process may have been paused."""
        return claim.owner == self.id and self.is_heard()

    def ask_for_orders(self) -> Orders:
        """Return what people ask of this worker now, by its row."""
        self.orders = orders_of(self.using, self.id) or self.orders
        return self.orders

    def synchronize(self) -> None:
        """Learn the database's time."""
        before = clock.monotonic()
        present = now(self.using)
        self._known_at = (before + clock.monotonic()) / 2
        self._known_now = present

    def database_now(self) -> datetime:
        """Return the database's time, without asking it."""
        return self._known_now + timedelta(seconds=clock.monotonic() - self._known_at)

    def say_goodbye(self) -> None:
        """End this life in peace."""
        say_goodbye(self.using, self.id)
