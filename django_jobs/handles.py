"""queues["mail"]: a handle to look at a queue and steer it."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db.models import Count

from django_jobs.conf import get_settings
from django_jobs.definitions.options import QUEUE_NAME
from django_jobs.definitions.registry import queue_names
from django_jobs.errors import InvalidOption
from django_jobs.lifecycle.control import Progress, pause_queue, resume_queue
from django_jobs.lifecycle.emptying import clean_queue, drain_queue, obliterate_queue
from django_jobs.models import Job, JobQuerySet, Queue
from django_jobs.states import State
from django_jobs.transitions.counting import waiting
from django_jobs.transitions.due import now, oldest_due
from django_jobs.worker.manual import TakenJob, take_job

# As far as jobs are counted that have ended, unless all are asked for.
MOST_COUNTED = 100_000


class CappedCount(int):
    """A number of jobs; with `has_more` there are more than so many, and nobody counted them."""

    has_more: bool

    def __new__(cls, number: int, *, has_more: bool = False) -> "CappedCount":
        count = super().__new__(cls, number)
        count.has_more = has_more
        return count

    def __str__(self) -> str:
        return f"{int(self):,}{'+' if self.has_more else ''}"

    def __format__(self, specification: str) -> str:
        return str(self) if not specification else super().__format__(specification)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The jobs of a queue: due now, due later, running, waiting for others; and ended, where that was asked."""

    ready: int = 0
    scheduled: int = 0
    running: int = 0
    blocked: int = 0
    # For how long the job that has been due longest waits; None if none is due.
    oldest_age: timedelta | None = None
    # None: not counted.
    successful: CappedCount | None = None
    failed: CappedCount | None = None
    cancelled: CappedCount | None = None


@dataclass(frozen=True, slots=True)
class QueueHandle:
    """One queue, which need not have a row."""

    name: str

    def pause(self) -> bool:
        """Start nothing more until resumed; return whether that is new. Running jobs finish."""
        return pause_queue(self.name)

    def resume(self) -> bool:
        """Let it go on; return whether it was paused."""
        return resume_queue(self.name)

    @property
    def is_paused(self) -> bool:
        return Queue.objects.using(get_settings().DATABASE).filter(name=self.name, paused=True).exists()

    def drain(self, *, scheduled: bool = False, progress: Progress | None = None) -> int:
        """Remove the jobs that are due and have not started, with `scheduled` also those that are not due yet.

        Return how many were removed. Those that wait for other jobs stay.
        """
        return drain_queue(self.name, scheduled=scheduled, progress=progress)

    def clean(
        self,
        state: str,
        older_than: timedelta | float = 0,
        limit: int | None = None,
        *,
        progress: Progress | None = None,
    ) -> int:
        """Remove jobs in a state: ready, scheduled, blocked, successful, failed or cancelled; return how many.

        The oldest first, `limit` at most. `older_than`: seconds or timedelta since they ended, or since they were
        enqueued if they have not. Raises InvalidOption.
        """
        return clean_queue(self.name, state, older_than, limit, progress=progress)

    def obliterate(self, *, force: bool = False, progress: Progress | None = None) -> int:
        """Remove all jobs and what was set for the queue; return how many jobs.

        Raises QueueIsBusy while jobs of it run, and has changed nothing then. With `force` those that run are asked
        to cancel and lose their rows too; what they come to is dropped. Raises TransactionManagementError
        inside of a transaction.
        """
        return obliterate_queue(self.name, force=force, progress=progress)

    def take(self, names: Collection[str] | None = None) -> AbstractContextManager[TakenJob | None]:
        """Take the job that is next, of any name or one of `names`, to process it by hand inside of a `with` block.

        The block gets None if nothing is due or the queue is paused. Left without a word, it gives the job back; left
        by an exception, that is how the attempt fails. Not for use inside a transaction. Raises InvalidOption.
        """
        return take_job(self.name, names)

    def jobs(self) -> JobQuerySet:
        """Return its jobs, whatever their state."""
        return Job.objects.using(get_settings().DATABASE).filter(queue_name=self.name)

    def counts(self, *, exact: bool = False) -> QueueCounts:
        """Count its jobs by state: those that live exactly, those that have ended up to 100,000 unless `exact`."""
        living = _count(self.name).get(self.name, QueueCounts())
        return replace(
            living,
            successful=self._count_ended(State.SUCCESSFUL, exact),
            failed=self._count_ended(State.FAILED, exact),
            cancelled=self._count_ended(State.CANCELLED, exact),
        )

    def counts_by_priority(self) -> dict[int, int]:
        """Count its jobs that wait, due or not, by priority, the highest first."""
        waiting = self.jobs().filter(state=State.READY).order_by("-priority").values_list("priority")
        return dict(waiting.annotate(Count("pk")))

    def oldest_age(self) -> timedelta | None:
        """Return for how long the job that has been due longest waits, or None if none is due."""
        using = get_settings().DATABASE
        present = now(using)
        oldest = oldest_due(using, self.name, present)
        return None if oldest is None else max(present - oldest, timedelta(0))

    def _count_ended(self, state: State, exact: bool) -> CappedCount:
        ended = self.jobs().filter(state=state, keep_until__isnull=False).order_by()
        number = ended.count() if exact else ended[: MOST_COUNTED + 1].count()
        return CappedCount(number) if exact else CappedCount(min(number, MOST_COUNTED), has_more=number > MOST_COUNTED)


class Queues:
    """All queues: by name, or one after the other."""

    def __getitem__(self, name: str) -> QueueHandle:
        if not isinstance(name, str) or not QUEUE_NAME.fullmatch(name):
            raise InvalidOption(f"{name!r} is no name of a queue: 1 to 100 letters, digits or _ . : -.")
        return QueueHandle(name)

    def __iter__(self) -> Iterator[QueueHandle]:
        stored = Queue.objects.using(get_settings().DATABASE).values_list("name", flat=True)
        return iter([QueueHandle(name) for name in sorted({*queue_names(), *stored})])

    def counts(self) -> dict[str, QueueCounts]:
        """Count the living jobs of every queue, by name; also of one that nobody declares but that holds jobs."""
        counted = _count()
        names = sorted({*counted, *(queue.name for queue in self)})
        return {name: counted.get(name, QueueCounts()) for name in names}


def _count(queue_name: str | None = None) -> dict[str, QueueCounts]:
    """Ask once a state: over the jobs of each there is an index, over all that live there is none."""
    using = get_settings().DATABASE
    present = now(using)
    jobs = Job.objects.using(using).order_by()
    if queue_name is not None:
        jobs = jobs.filter(queue_name=queue_name)
    counted: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in waiting(using, present, queue_name):
        age = None if each.oldest is None else max(present - each.oldest, timedelta(0))
        counted[each.queue_name] = {"ready": each.due, "scheduled": each.ready - each.due, "oldest_age": age}
    for state in (State.RUNNING, State.BLOCKED):
        for name, count in jobs.filter(state=state).values_list("queue_name").annotate(count=Count("pk")):
            counted[name][state.value] = count
    return {name: QueueCounts(**counts) for name, counts in counted.items()}


queues = Queues()
