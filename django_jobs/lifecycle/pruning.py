"""prune: drop what is not to be kept any longer, a bounded number of rows in each transaction."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from django_jobs.models import JobQuerySet
from django_jobs.states import ENDED
from django_jobs.transitions import pruning
from django_jobs.transitions.due import now
from django_jobs.transitions.transactions import in_transaction

# Who looks into what went wrong wants to see which workers there were.
WORKERS_KEPT = timedelta(days=7)


def prune(using: str) -> Iterator[int]:
    """Drop all jobs that are not to be kept, and workers that are long dead; yield how many jobs after each step."""
    present = now(using)
    for rows in _over_age(using, present):
        yield from _prune(using, rows, "keep_until")
    for rows in _over_count(using, present):
        yield from _prune(using, rows, "pk")
    while in_transaction(using, partial(pruning.prune_workers, using, present - WORKERS_KEPT)):
        yield 0


def count_prunable(using: str) -> int:
    """Count the jobs that `prune` would drop now. One that is over its age and its count is counted once."""
    present = now(using)
    by_age = sum(rows.order_by().count() for rows in _over_age(using, present))
    return by_age + sum(rows.order_by().filter(keep_until__gt=present).count() for rows in _over_count(using, present))


def _over_age(using: str, present: datetime) -> Iterator[JobQuerySet]:
    for queue_name in pruning.ended_queues(using):
        for state in ENDED:
            yield pruning.over_age(using, queue_name, state, present)


def _over_count(using: str, present: datetime) -> Iterator[JobQuerySet]:
    for group in pruning.counted(using):
        for state in ENDED:
            yield from pruning.over_count(using, group, state, present)


def _prune(using: str, rows: JobQuerySet, order: str) -> Iterator[int]:
    """Go on behind what was deleted: the index still leads over its remains until it is cleaned up."""
    rest = rows
    while True:
        removed, last = in_transaction(using, partial(pruning.prune, using, rest, order))
        yield removed  # also if it found nothing to remove: to look for it takes its time
        if last is None:
            return
        rest = rows.filter(**{f"{order}__gte": last})
