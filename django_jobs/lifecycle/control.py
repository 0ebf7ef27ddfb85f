"""What people do to jobs and queues: from code, the admin and commands alike. Each verb answers how many it moved."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.timezone import is_naive

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import seconds
from django_jobs.definitions.options import QUEUE_NAME
from django_jobs.definitions.rank import due_at
from django_jobs.errors import InvalidOption
from django_jobs.lifecycle.deduplicating import count_refused, follow_on_commit
from django_jobs.lifecycle.dispatching import HORIZON, ring_on_commit
from django_jobs.models import Job, JobQuerySet, Queue
from django_jobs.transitions import removing, steering, steps
from django_jobs.transitions.deduplicating import held_keys
from django_jobs.transitions.due import now
from django_jobs.transitions.steering import Moved
from django_jobs.transports import Bell, get_transport

# So many ids are asked for at once: where no index leads along them in order, each question reads all that match.
PAGE = 10_000
# A Job, an id, several of either, or a queryset.
Jobs = Job | UUID | str | JobQuerySet | Iterable["Job | UUID | str"]
# Called with the number of jobs looked at so far, after each step.
Progress = Callable[[int], None]


def cancel(jobs: Jobs, reason: str = "", *, progress: Progress | None = None) -> int:
    """Cancel those that wait and ask those that run; return how many. A running one may still succeed."""
    reason = reason or "Cancelled by hand."

    def step(using: str, ids: Sequence[UUID]) -> int:
        moved = steering.cancel(using, ids, reason)
        follow_on_commit(using, [row.given_back for row in moved if row.given_back is not None])
        return len(moved)

    return _in_steps(jobs, step, progress)


def retry(
    jobs: Jobs, *, reset_attempts: bool = True, reset_steps: bool = False, progress: Progress | None = None
) -> int:
    """Run those again that have ended, the same rows, at once; return how many.

    They keep their priority, group and idempotency key. One whose deduplication key another job has by now stays as it
    is, and is counted there as a duplicate. Without `reset_attempts` the attempts go on counting, and each gets one
    more. They go on after the last step that is done; with `reset_steps` they begin from the beginning.
    """

    def step(using: str, ids: Sequence[UUID]) -> int:
        moved = steering.retry(using, ids, reset_attempts=reset_attempts)
        if reset_steps:
            steps.forget(using, [each.id for each in moved])
        count_refused(using, ids)
        return _ring(using, moved)

    return _in_steps(jobs, step, progress)


def run_now(jobs: Jobs, *, progress: Progress | None = None) -> int:
    """Make those due that wait for their time; return how many."""
    return _in_steps(jobs, lambda using, ids: _ring(using, steering.run_now(using, ids)), progress)


def reschedule(jobs: Jobs, when: datetime | timedelta | float, *, progress: Progress | None = None) -> int:
    """Give those that have not started another time (a moment, or seconds or timedelta from now); return how many."""
    if isinstance(when, datetime):
        if is_naive(when) and settings.USE_TZ:
            raise InvalidOption(f"reschedule() needs an aware datetime, not {when!r}. Use django.utils.timezone.")
        moment: datetime | float = when
    else:
        moment = seconds(when, option="The time of reschedule()")
    return _in_steps(jobs, lambda using, ids: _ring(using, steering.reschedule(using, ids, moment)), progress)


def reprioritize(jobs: Jobs, priority: int, *, progress: Progress | None = None) -> int:
    """Move those that wait to another priority (-100 to 100, higher first); return how many."""
    if isinstance(priority, bool) or not isinstance(priority, int) or not -100 <= priority <= 100:
        raise InvalidOption(f"reprioritize() needs a whole number from -100 to 100, not {priority!r}.")
    return _in_steps(jobs, lambda using, ids: _ring(using, steering.reprioritize(using, ids, priority)), progress)


def remove(jobs: Jobs, *, progress: Progress | None = None) -> int:
    """Delete those that do not run, with all that belongs to them; return how many. Their keys are free again."""

    def step(using: str, ids: Sequence[UUID]) -> int:
        keys = held_keys(using, ids)
        removed = removing.remove(using, ids)
        follow_on_commit(using, keys - held_keys(using, ids))
        return removed

    return _in_steps(jobs, step, progress)


def pause_queue(name: str) -> bool:
    """Start nothing more of a queue until it is resumed; return whether that is new. Running jobs finish."""
    return _set_paused(name, True)


def resume_queue(name: str) -> bool:
    """Let a paused queue go on; return whether it was paused."""
    changed = _set_paused(name, False)
    get_transport().wake()
    return changed


def _set_paused(name: str, paused: bool) -> bool:
    if not isinstance(name, str) or not QUEUE_NAME.fullmatch(name):
        raise InvalidOption(f"{name!r} is no name of a queue.")
    using = get_settings().DATABASE
    queues = Queue.objects.using(using)
    queues.get_or_create(name=name)
    return bool(
        queues.filter(name=name, paused=not paused).update(paused=paused, paused_at=now(using) if paused else None)
    )


def _in_steps(jobs: Jobs, step: Callable[[str, Sequence[UUID]], int], progress: Progress | None) -> int:
    """Take a bounded number of jobs in each transaction, in the order of their ids: no lock is held for long."""
    using = get_settings().DATABASE
    moved = seen = 0
    for ids in _ids(using, jobs):
        with transaction.atomic(using=using):
            moved += step(using, ids)
        seen += len(ids)
        if progress is not None:
            progress(seen)
    return moved


def _ids(using: str, jobs: Jobs) -> Iterator[list[UUID]]:
    if isinstance(jobs, Job | UUID | str):
        jobs = [jobs]
    if isinstance(jobs, JobQuerySet):
        jobs = jobs.using(using)
        # What is sliced or combined cannot be filtered further.
        if not (jobs.query.is_sliced or jobs.query.combinator):
            yield from pages(jobs)
            return
    ids = sorted({each.pk if isinstance(each, Job) else UUID(str(each)) for each in jobs})
    for start in range(0, len(ids), steering.CHUNK):
        yield ids[start : start + steering.CHUNK]


def pages(jobs: JobQuerySet) -> Iterator[list[UUID]]:
    """Walk along the primary key: what was moved may leave the filter, and the walk must not skip for it."""
    rows = jobs.order_by("pk").values_list("pk", flat=True)
    page = list(rows[:PAGE])
    while page:
        for start in range(0, len(page), steering.CHUNK):
            yield page[start : start + steering.CHUNK]
        page = list(rows.filter(pk__gt=page[-1])[:PAGE]) if len(page) == PAGE else []


def _ring(using: str, moved: list[Moved]) -> int:
    near = now(using) + HORIZON if moved else None
    bells = [
        Bell(row.id, row.queue_name, row.rank)
        for row in moved
        if not row.suspect and near is not None and due_at(row.rank) <= near
    ]
    ring_on_commit(using, bells)
    return len(moved)
