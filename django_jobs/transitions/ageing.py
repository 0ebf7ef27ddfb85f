"""age: jobs that wait too long rise to the next priority, where they keep the place that their time gives them."""

from django_jobs.definitions.rank import BAND_SIZE
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.steering import CHUNK, Moved

# A priority has two bands, one for each order.
ONE_PRIORITY = 2 * BAND_SIZE


def age(using: str, queue_name: str, first: int, last: int) -> list[Moved]:
    """Raise up to CHUNK of those that wait with these ranks by one priority; what somebody has locked is left."""
    sql = dialect(using)
    rows = sql.update(
        f"priority = priority + 1, rank = rank - {ONE_PRIORITY}",
        [],
        f"queue_name = %s AND state = 'ready' AND {sql.flag('suspect', False)} AND rank BETWEEN %s AND %s",
        [queue_name, first, last],
        "id, queue_name, rank, suspect",
        order="rank, id",
        limit=CHUNK,
        skip_locked=True,
    )
    return [Moved(sql.read_id(id), name, int(rank), bool(suspect)) for id, name, rank, suspect in rows]
