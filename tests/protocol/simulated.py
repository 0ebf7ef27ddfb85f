"""What the simulation has in its hands: the time, a database in memory that shares it, and a transport that loses."""

import logging
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.core.management import call_command
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from django.test import override_settings

from django_jobs.clock import use_clock
from django_jobs.conf import get_settings
from django_jobs.transitions import transactions
from django_jobs.transports import Bell, Taken, current
from django_jobs.transports.memory import MemoryTransport

BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
OPTIONS = {"TRANSPORT": "memory:", "PREFIX": "simulated"}


class Time:
    """The clock of the host and of the database: it moves when the simulation says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def database_now(self) -> datetime:
        return self.now()

    def sleep(self, seconds: float) -> None:
        """Nobody is waited for: what happens meanwhile is a step of its own."""


class LossyTransport(MemoryTransport):
    """Loses bells as chance will have it; can say all of the old ones again, and forget everything."""

    name: ClassVar[str] = "lossy"

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance, self.loss = chance, 0.3
        self._said: list[Bell] = []

    def announce(self, bells: Sequence[Bell]) -> None:
        self._said += bells
        super().announce([each for each in bells if self.chance.random() >= self.loss])

    def repeat(self) -> None:
        super().announce(self._said)

    def take(
        self,
        taker: UUID,
        queue_names: Sequence[str],
        limit: int,
        now: datetime,
        batch: int,
        shares: Sequence[int] = (),
    ) -> Taken:
        taken = super().take(taker, queue_names, limit, now, batch, shares)
        assert taken is not None
        return taken


class Database:
    """SQLite in memory. Its next commit can be made to fail, before it happens or after it."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.wrapper: BaseDatabaseWrapper = ConnectionHandler(
            {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        )["default"]
        # What the next commit says instead of nothing, and whether it happens all the same.
        self.failure: tuple[str, bool] | None = None
        self._commit, self.wrapper._commit = self.wrapper._commit, self._commit_or_fail  # type: ignore[attr-defined]

    @property
    def raw(self) -> Any:
        return self.wrapper.connection

    def open(self) -> None:
        """Make the tables, in the time of the simulation."""
        self.wrapper.ensure_connection()
        call_command("migrate", "django_jobs", verbosity=0)
        self.raw.execute("CREATE TABLE effect (job_id TEXT)")

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask past Django, which would take longer than the answer."""
        return list(self.raw.execute(sql, parameters))

    def _commit_or_fail(self) -> None:
        failure, self.failure = self.failure, None
        if failure is None:
            return self._commit()
        text, happens = failure
        if happens:
            self._commit()
        raise OperationalError(text)


@contextmanager
def simulated() -> Iterator[Database]:
    """Put the simulation's time, database and transport in the place of the real ones."""
    time = Time()
    database = Database(time)
    former, module = connections["default"], vars(transactions)["time"]
    logger = logging.getLogger("django_jobs")
    level = logger.level
    connections["default"] = database.wrapper
    vars(transactions)["time"] = time
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with use_clock(time), override_settings(DJANGO_JOBS=OPTIONS):
            database.open()
            yield database
    finally:
        logger.setLevel(level)
        vars(transactions)["time"] = module
        database.wrapper.close()
        if database.raw is not None:
            database.raw.close()
        connections["default"] = former


def use_transport(transport: LossyTransport) -> None:
    """Make it the transport of this process, until the settings change."""
    settings = get_settings()
    vars(current)["_transports"][os.getpid(), settings.TRANSPORT, settings.PREFIX] = transport
