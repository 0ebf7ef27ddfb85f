"""drain, clean, obliterate: take jobs out of a queue for good, a bounded number in each transaction."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.transaction import TransactionManagementError

from django_jobs.conf import did_you_mean, get_settings
from django_jobs.definitions.durations import seconds
from django_jobs.definitions.rank import BAND_SIZE, BANDS
from django_jobs.errors import InvalidOption, QueueIsBusy, TransportError
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.control import Progress, cancel, pages, pause_queue, resume_queue
from django_jobs.lifecycle.deduplicating import follow_on_commit
from django_jobs.lifecycle.dispatching import forget_bells
from django_jobs.lifecycle.sweeping import sweep
from django_jobs.models import Job, JobQuerySet, Queue
from django_jobs.states import ENDED, State
from django_jobs.transitions import steering
from django_jobs.transitions.deduplicating import held_keys
from django_jobs.transitions.due import due_ranges, now
from django_jobs.transitions.removing import NOT_RUNNING, remove
from django_jobs.transports import get_transport

# What can be cleaned, each a question of the queryset, with the state of its rows.
CLEANABLE = {
    "ready": State.READY,
    "scheduled": State.READY,
    "blocked": State.BLOCKED,
    "successful": State.SUCCESSFUL,
    "failed": State.FAILED,
    "cancelled": State.CANCELLED,
}
# Longer than a claim takes that began before the queue was paused.
CLAIM_SECONDS = 1.0


def drain_queue(name: str, *, scheduled: bool = False, progress: Progress | None = None) -> int:
    """Remove the jobs of a queue that are due and have not started, with `scheduled` also those that are not due."""
    using = get_settings().DATABASE
    present = now(using)
    removed = _remove(using, _waiting(using, name, present, future=scheduled), [State.READY], progress)
    _forget(using, name)
    return removed


def clean_queue(
    name: str,
    state: str,
    older_than: timedelta | float = 0,
    limit: int | None = None,
    *,
    progress: Progress | None = None,
) -> int:
    """Remove the jobs of a queue that are in a state for long enough, the oldest first, `limit` at most.

    `older_than`: seconds or timedelta since they ended, or since they were enqueued if they have not.
    """
    check_cleanable(state, limit)
    using = get_settings().DATABASE
    until = now(using) - timedelta(seconds=seconds(older_than, option="older_than of clean()"))
    removed = _remove(using, pages(_old(using, name, state, until)), [CLEANABLE[state]], progress, limit)
    if state == "ready":
        _forget(using, name)
    return removed


def cleanable(name: str, state: str, older_than: timedelta | float = 0) -> JobQuerySet:
    """Return the jobs that `clean_queue` would remove."""
    using = get_settings().DATABASE
    until = now(using) - timedelta(seconds=seconds(older_than, option="older_than of clean()"))
    return _old(using, name, state, until)


def check_cleanable(state: str, limit: int | None = None) -> None:
    """Raise InvalidOption for a state that cannot be cleaned, or a limit that is none."""
    if state not in CLEANABLE:
        raise InvalidOption(
            f"clean() cannot clean jobs that are {state!r}.{did_you_mean(str(state), CLEANABLE)} "
            f"It can clean: {', '.join(CLEANABLE)}."
        )
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidOption(f"The limit of clean() must be a whole number from 1 on, not {limit!r}.")


def obliterate_queue(name: str, *, force: bool = False, progress: Progress | None = None) -> int:
    """Remove all jobs of a queue, and the row that says whether it is paused; return how many jobs.

    Raises QueueIsBusy while jobs of it run, and has changed nothing then. With `force` those that run are asked to
    cancel and lose their rows too; what they come to is dropped. Raises TransactionManagementError inside of a
    transaction, in which no worker could see the queue paused.
    """
    using = get_settings().DATABASE
    _refuse_transaction(using, name)
    with _held(using, name):
        running = Job.objects.using(using).running().filter(queue_name=name)
        if count := 0 if force else running.count():
            raise QueueIsBusy(
                f"{count:,} jobs of the queue {name!r} run, so nothing was changed. "
                "Wait until they have ended, or use force."
            )
        if force:
            cancel(running, "Its queue was obliterated.")
        everything = Job.objects.using(using).filter(queue_name=name, enqueued_at__lte=now(using))
        removed = _remove(using, pages(everything), NOT_RUNNING, progress)
        if force:
            # Last, so that their workers can still read in them that they shall stop.
            removed += _remove(using, pages(running), [State.RUNNING], None)
        Queue.objects.using(using).filter(name=name).delete()
    _forget(using, name)
    return removed


def _refuse_transaction(using: str, name: str) -> None:
    """Let that of a TestCase pass, as Django does with what is durable: no worker looks at the rows in it."""
    try:
        with transaction.atomic(using=using, durable=True):
            pass
    except RuntimeError:
        raise TransactionManagementError(
            f"The queue {name!r} cannot be obliterated inside of a transaction on the database {using!r}: workers "
            "would not see it paused, and start more of its jobs. Do it outside, or in transaction.on_commit()."
        ) from None


@contextmanager
def _held(using: str, name: str) -> Iterator[None]:
    """Let nothing of a queue start inside the block; if the block fails, leave the queue as it was before."""
    before = Queue.objects.using(using).filter(name=name).first()
    pause_queue(name)
    try:
        if workers.not_dead(using):
            # A claim that is under way has not seen the pause, and shows its jobs as running when it is through.
            time.sleep(CLAIM_SECONDS)
        yield
    except BaseException:
        if before is None:
            Queue.objects.using(using).filter(name=name).delete()
        elif not before.paused:
            resume_queue(name)
        raise
    finally:
        get_transport().wake()


def _remove(
    using: str,
    found: Iterator[list[UUID]],
    states: Collection[State],
    progress: Progress | None,
    limit: int | None = None,
) -> int:
    removed = 0
    freed: set[bytes] = set()
    for page in found:
        ids = page if limit is None else page[: limit - removed]
        with transaction.atomic(using=using):
            keys = held_keys(using, ids)
            removed += remove(using, ids, states)
            freed |= keys - held_keys(using, ids)
        if progress is not None:
            progress(removed)
        if removed == limit:
            break
    _follow(using, sorted(freed))
    return removed


def _follow(using: str, keys: Sequence[bytes]) -> None:
    """Let those start who waited for the removed ones; not before the end, or they would be removed as well."""
    for start in range(0, len(keys), steering.CHUNK):
        with transaction.atomic(using=using):
            follow_on_commit(using, keys[start : start + steering.CHUNK])


def _waiting(using: str, name: str, present: datetime, *, future: bool) -> Iterator[list[UUID]]:
    """Walk along the index of what is ready. What is enqueued in the meantime stays."""
    for suspect in (False, True):
        due = due_ranges(using, name, present, suspect=suspect)
        for first, last in [(0, BANDS * BAND_SIZE - 1)] if future else due:
            rows = Job.objects.using(using).filter(
                state=State.READY, suspect__in=[suspect], queue_name=name, rank__range=(first, last)
            )
            yield from _by_rank(rows.filter(enqueued_at__lte=present), last)


def _by_rank(rows: JobQuerySet, last: int) -> Iterator[list[UUID]]:
    rest = rows
    while page := list(rest.order_by("rank", "id").values_list("id", "rank")[: steering.CHUNK]):
        yield sorted(id for id, _ in page)
        id, rank = page[-1]
        rest = rows.filter(rank__range=(rank, last)).filter(Q(rank__gt=rank) | Q(id__gt=id))


def _old(using: str, name: str, state: str, until: datetime) -> JobQuerySet:
    jobs: JobQuerySet = getattr(Job.objects.using(using), state)().filter(queue_name=name)
    return jobs.filter(finished_at__lte=until) if CLEANABLE[state] in ENDED else jobs.filter(enqueued_at__lte=until)


def _forget(using: str, name: str) -> None:
    """Drop the bells of rows that are gone, and ring again what is left."""
    if forget_bells(name):
        with suppress(TransportError):  # the workers' own sweep rings them later
            for _ in sweep(using, [name]):
                pass
