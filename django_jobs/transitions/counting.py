"""How many jobs wait, counted by the index over what is ready alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django_jobs.definitions.rank import BAND_SIZE, due_at, ticks
from django_jobs.transitions.sql import dialect


@dataclass(frozen=True, slots=True)
class Waiting:
    """The jobs of a queue that are ready: all, those that are due, and since when the first of those is."""

    queue_name: str
    ready: int
    due: int
    oldest: datetime | None


def waiting(using: str, present: datetime, queue_name: str | None = None) -> Iterator[Waiting]:
    """Count what is ready in each queue, or in one.

    A band of LIFO, whose time runs downwards, lies before the band of FIFO of the same priority. So in such a pair
    what is due lies around the middle, and the oldest farthest from it.
    """
    sql = dialect(using)
    place = f"(rank %% {2 * BAND_SIZE})"
    last = ticks(present)
    is_due = f"{place} BETWEEN {BAND_SIZE - 1 - last} AND {BAND_SIZE + last}"
    time = f"CASE WHEN {place} < {BAND_SIZE} THEN {BAND_SIZE - 1} - {place} ELSE {place} - {BAND_SIZE} END"
    only = "" if queue_name is None else "AND queue_name = %s"
    rows = sql.query(
        f"SELECT queue_name, COUNT(*), SUM(CASE WHEN {is_due} THEN 1 ELSE 0 END), "
        f"MIN(CASE WHEN {is_due} THEN {time} END) "
        f"FROM {sql.job} WHERE state = 'ready' {only} GROUP BY queue_name",
        [] if queue_name is None else [queue_name],
    )
    for name, ready, due, oldest in rows:
        yield Waiting(name, ready, int(due), None if oldest is None else due_at(BAND_SIZE + int(oldest)))


def connection_counts(using: str) -> tuple[int, int] | None:
    """Return how many connections the database server has and how many it takes.

    None where there is no server, or where a PgBouncer stands before it.
    """
    return dialect(using).connection_counts()
