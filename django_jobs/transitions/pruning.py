"""prune: rows of jobs that have ended and are not to be kept any longer, and of workers that are long dead."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Q

from django_jobs.definitions.keeping import UNCOUNTED
from django_jobs.models import Job, JobQuerySet, Worker
from django_jobs.models.job import HOLDER
from django_jobs.states import State
from django_jobs.transitions.hopping import each_value
from django_jobs.transitions.removing import delete

# Nobody waits for rows that are pruned, so these may be more than for verbs of people.
CHUNK = 1000
# So many rows are looked at in one step, however many of them must stay.
WINDOW = 5000


@dataclass(frozen=True, slots=True)
class Counted:
    """Jobs of one function in one queue of which so many successful ones are kept, and so many that failed."""

    keep_successful_count: int
    queue_name: str
    name: str


def ended_queues(using: str) -> Iterator[str]:
    """Yield the queues that hold jobs which have ended: one look at the index for each."""
    rows = Job.objects.using(using)
    if connections[using].features.supports_partial_indexes:
        rows = rows.filter(keep_until__isnull=False)
    yield from each_value(rows, "queue_name", above="")


def over_age(using: str, queue_name: str, state: State, present: datetime) -> JobQuerySet:
    """Return the jobs of a queue whose time is over."""
    rows = Job.objects.using(using).filter(queue_name=queue_name, state=state, keep_until__lte=present)
    return _unpromised(rows, present).order_by("keep_until")


def counted(using: str) -> Iterator[Counted]:
    """Yield the groups in which jobs are counted: one look at the index for each."""
    rows = Job.objects.using(using).filter(keep_successful_count__isnull=False)
    for count in each_value(rows, "keep_successful_count", above=-1):
        alike = rows.filter(keep_successful_count=count)
        for queue_name in each_value(alike, "queue_name", above=""):
            for name in each_value(alike.filter(queue_name=queue_name), "name", above=""):
                yield Counted(count, queue_name, name)


def over_count(using: str, group: Counted, state: State, present: datetime) -> Iterator[JobQuerySet]:
    """Yield the jobs of a group and a state before which so many newer ones stand, no more than WINDOW at once."""
    rows = Job.objects.using(using).filter(
        keep_successful_count=group.keep_successful_count, queue_name=group.queue_name, name=group.name, state=state
    )
    counts: set[Any] = {group.keep_successful_count}
    if state is State.FAILED:
        counts = set(rows.order_by().values_list("keep_failed_count", flat=True).distinct())
    for count in sorted(counts - {UNCOUNTED}):
        alike = rows.filter(keep_failed_count=count) if state is State.FAILED else rows
        newest_too_old = alike.order_by("-pk").values_list("pk", flat=True)[count : count + 1].first()
        if newest_too_old is not None:
            for window in _windows(alike.filter(pk__lte=newest_too_old).order_by("pk")):
                yield _unpromised(window, present)


def _windows(rows: JobQuerySet) -> Iterator[JobQuerySet]:
    """Divide rows that are ordered by their ids."""
    rest = rows
    while (last := rest.values_list("pk", flat=True)[WINDOW - 1 : WINDOW].first()) is not None:
        yield rest.filter(pk__lte=last)
        rest = rows.filter(pk__gt=last)
    yield rest


def prune(using: str, rows: JobQuerySet, order: str) -> tuple[int, Any]:
    """Delete the first CHUNK of these, but for those that somebody has locked. In a transaction.

    Return how many, and the place of the last one in the `order`, a column; None if there was none.
    """
    page = list(rows.select_for_update(skip_locked=True).values_list("pk", order)[:CHUNK])
    return delete(using, [id for id, _ in page]), page[-1][1] if page else None


def prune_workers(using: str, before: datetime) -> int:
    """Delete up to CHUNK rows of workers that stopped or died before a moment; return how many."""
    old: list[UUID] = list(Worker.objects.using(using).filter(dead_at__lt=before).values_list("pk", flat=True)[:CHUNK])
    return Worker.objects.using(using).filter(pk__in=old)._raw_delete(using) if old else 0


def _unpromised(rows: JobQuerySet, present: datetime) -> JobQuerySet:
    """Leave out the rows whose idempotency key is still promised, and those that still hold a deduplication key."""
    is_over = Q(key_digest__isnull=True) | Q(key_expires_at__isnull=True) | Q(key_expires_at__lte=present)
    # Of those that have ended only who holds its key for a time has a slot.
    is_free = Q(deduplication_slot__isnull=True) | Q(deduplication_expires_at__lte=present)
    return rows.filter(is_over, is_free | ~Q(deduplication_slot=HOLDER))
