"""What waits, asked of the index that claims use: the answer costs the same however large the table is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connections

from django_jobs.definitions.rank import due_at, is_lifo
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.due import due_ranges

# So many rows of a queue and priority are looked at, from the one that is due longest.
LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True)
class Due:
    """Jobs of a queue that may start. Of many only those are seen that wait longest: what nobody can run is there."""

    seen: int = 0
    has_more: bool = False
    oldest: datetime | None = None
    names: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.seen:,}{'+' if self.has_more else ''} due"


def queues_with_ready_jobs(using: str) -> Iterator[str]:
    """Hop over the index from one queue to the next; also to those that nobody declares."""
    names = Job.objects.using(using).order_by("queue_name").values_list("queue_name", flat=True)
    # An index over all rows has the state behind the name: there the condition would read what ended.
    if connections[using].features.supports_partial_indexes:
        names = names.filter(state=State.READY)
    name = names.first()
    while name is not None:
        yield name
        name = names.filter(queue_name__gt=name).first()


def due(using: str, queue_name: str, present: datetime, *, suspect: bool = False) -> Due:
    """Look at the jobs of a queue that are due at `present`; with `suspect` at those that must start alone."""
    # A list, for Django 5 writes "= False" as "NOT suspect" on SQLite, which the index does not serve.
    ready = Job.objects.using(using).filter(state=State.READY, queue_name=queue_name, suspect__in=[suspect])
    seen, has_more, names = 0, False, set()
    oldest: datetime | None = None
    for first, last in due_ranges(using, queue_name, present, suspect=suspect):
        oldest_first = ("-rank", "-id") if is_lifo(first) else ("rank", "id")
        rows = ready.filter(rank__range=(first, last)).order_by(*oldest_first)
        page = list(rows.values_list("rank", "name", "expires_at", "starts")[: LOOKED_AT + 1])
        has_more |= len(page) > LOOKED_AT
        for rank, name, expires_at, starts in page[:LOOKED_AT]:
            if expires_at is not None and expires_at <= present and not starts:
                continue
            seen += 1
            names.add(name)
            oldest = min(oldest or present, due_at(rank))
    return Due(seen, has_more, oldest, frozenset(names))
