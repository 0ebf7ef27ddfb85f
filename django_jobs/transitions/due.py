"""What is ready and when it is due: looked up in the index of ready jobs, changed by nobody here."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from django.db import connections

from django_jobs.definitions.rank import BAND_SIZE, due_at, due_range, is_lifo
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.hopping import each_value
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect


def now(using: str) -> datetime:
    """Return the database's time."""
    sql = dialect(using)
    return datetime.fromtimestamp(sql.query(f"SELECT {sql.epoch(sql.now)}")[0][0], UTC)


def ready_queues(using: str) -> Iterator[str]:
    """Yield the queues that hold anything ready, whoever serves them; without partial indexes those that hold anything.

    One look at the index for each.
    """
    rows = Job.objects.using(using)
    if connections[using].features.supports_partial_indexes:
        # Else the index knows of each queue only where its first row is.
        rows = rows.filter(state=State.READY)
    yield from each_value(rows, "queue_name", above="")


def due_ranges(
    using: str, queue_name: str, until: datetime, since: datetime | None = None, *, suspect: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ranks between two times, one for each band of the queue that holds anything ready.

    Hops over the index from one band to the next: one look-up a band, whatever the number of rows, and none for
    bands that nobody asks for.
    """
    sql = dialect(using)
    start = 0
    while True:
        # ORDER BY and LIMIT, not MIN: where the statistics say "one row", PostgreSQL would read them all for a MIN.
        # And no recursive statement: MariaDB would read them all for a bound that is not a constant.
        rows = sql.query(
            f"SELECT rank FROM {sql.job} WHERE queue_name = %s AND {ready(sql, suspect)} AND rank >= %s "
            "ORDER BY rank LIMIT 1",
            [queue_name, start],
        )
        if not rows:
            return
        band = int(rows[0][0]) // BAND_SIZE
        yield due_range(band, until, since)
        start = (band + 1) * BAND_SIZE


def oldest_due(using: str, queue_name: str, until: datetime) -> datetime | None:
    """Return the time of the job of a queue that has been due longest: one look-up a band."""
    sql = dialect(using)
    oldest: list[datetime] = []
    for suspect in (False, True):
        for first, last in due_ranges(using, queue_name, until, suspect=suspect):
            order = "DESC" if is_lifo(first) else "ASC"
            rows = sql.query(
                f"SELECT rank FROM {sql.job} WHERE queue_name = %s AND {ready(sql, suspect)} "
                f"AND rank BETWEEN %s AND %s ORDER BY rank {order} LIMIT 1",
                [queue_name, first, last],
            )
            oldest += [due_at(int(rank)) for (rank,) in rows]
    return min(oldest, default=None)


def any_suspect(using: str, queue_names: Sequence[str]) -> bool:
    """Tell whether a job waits that must start alone, in any of the queues, and is due."""
    present = now(using)
    sql = dialect(using)
    for queue_name in queue_names:
        for first, last in due_ranges(using, queue_name, present, suspect=True):
            found = sql.query(
                f"SELECT 1 FROM {sql.job} "
                f"WHERE queue_name = %s AND {ready(sql, True)} AND rank BETWEEN %s AND %s LIMIT 1",
                [queue_name, first, last],
            )
            if found:
                return True
    return False


def ready(sql: Dialect, suspect: bool) -> str:
    """The condition as the partial index has it, letter by letter."""
    return f"state = 'ready' AND {sql.flag('suspect', suspect)}"
