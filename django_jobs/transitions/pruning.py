"""prune: rows of jobs that have ended and are not to be kept any longer, and of workers that are long dead."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from django_jobs.definitions.keeping import UNCOUNTED
from django_jobs.models import Job, JobQuerySet, Worker
from django_jobs.states import State
from django_jobs.transitions.removing import delete

CHUNK = 500


def ended_queues(using: str) -> Iterator[str]:
    """Yield the queues that hold jobs which have ended: one look at the index for each."""
    rows = Job.objects.using(using).filter(keep_until__isnull=False).order_by("queue_name")
    names = rows.values_list("queue_name", flat=True)
    name = names.first()
    while name is not None:
        yield name
        name = names.filter(queue_name__gt=name).first()


def over_age(using: str, queue_name: str, state: State, present: datetime) -> JobQuerySet:
    """Return the jobs of a queue whose time is over."""
    rows = Job.objects.using(using).filter(queue_name=queue_name, state=state, keep_until__lte=present)
    return _unpromised(rows, present).order_by("keep_until")


def counted(using: str) -> Iterator[tuple[str, str]]:
    """Yield queue and name of those jobs of which only the newest are kept: one look at the index for each."""
    rows = Job.objects.using(using).filter(keep_successful_count__isnull=False).order_by("queue_name", "name")
    pairs = rows.values_list("queue_name", "name")
    pair = pairs.first()
    while pair is not None:
        yield pair
        queue_name, name = pair
        pair = pairs.filter(queue_name=queue_name, name__gt=name).first()
        pair = pair or pairs.filter(queue_name__gt=queue_name).first()


def over_count(using: str, queue_name: str, name: str, state: State, present: datetime) -> Iterator[JobQuerySet]:
    """Yield, for each count that jobs of a name are kept by, those that as many newer ones stand before."""
    rows = Job.objects.using(using).filter(
        queue_name=queue_name, name=name, state=state, keep_successful_count__isnull=False
    )
    column = "keep_failed_count" if state is State.FAILED else "keep_successful_count"
    counts = set(rows.order_by().values_list(column, flat=True).distinct()) - {UNCOUNTED}
    for count in sorted(counts):
        newest_too_old = rows.order_by("-pk").values_list("pk", flat=True)[count : count + 1].first()
        if newest_too_old is not None:
            old = rows.filter(pk__lte=newest_too_old, **{column: count})
            yield _unpromised(old, present).order_by("pk")


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
    """Leave out the rows whose idempotency key is still promised."""
    is_over = Q(key_digest__isnull=True) | Q(key_expires_at__isnull=True) | Q(key_expires_at__lte=present)
    return rows.filter(is_over)
