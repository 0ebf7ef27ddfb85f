"""What becomes of jobs that a block of a test enqueues: they are looked at (captured), or run at once (immediate)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload
from uuid import UUID

from django_jobs.conf import get_settings
from django_jobs.definitions.identifiers import uuid7
from django_jobs.models import Job
from django_jobs.signals import jobs_enqueued
from django_jobs.testing.draining import MOST_ATTEMPTS, drain, is_draining

# How many blocks are open in which nothing is to run.
_captures = 0


class CapturedJobs(Sequence[Job]):
    """The jobs that this process has stored since a block began, in their order; once it has ended, until then.

    Reads the table whenever it is looked at, so what was rolled back is not among them, and rows are as they are now.
    """

    def __init__(self) -> None:
        self._using = get_settings().DATABASE
        # Ids of one process only grow.
        self._first = uuid7()
        self._last: UUID | None = None

    def _rows(self) -> list[Job]:
        jobs = Job.objects.using(self._using).filter(pk__gt=self._first)
        return list((jobs if self._last is None else jobs.filter(pk__lt=self._last)).order_by("pk"))

    def _close(self) -> None:
        self._last = uuid7()

    @overload
    def __getitem__(self, place: int) -> Job: ...

    @overload
    def __getitem__(self, place: slice) -> list[Job]: ...

    def __getitem__(self, place: int | slice) -> Job | list[Job]:
        return self._rows()[place]

    def __iter__(self) -> Iterator[Job]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())

    def __eq__(self, other: object) -> bool:
        return self._rows() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._rows())


@contextmanager
def captured() -> Iterator[CapturedJobs]:
    """Gather the jobs that the block enqueues; none of them runs in it, not even where `immediate` is in force.

    They are stored as ever: validated, as JSON, in the transaction that is open, one a key.
    """
    global _captures
    jobs = CapturedJobs()
    _captures += 1
    try:
        yield jobs
    finally:
        _captures -= 1
        jobs._close()


@contextmanager
def immediate(*, raise_errors: bool = False, limit: int = MOST_ATTEMPTS) -> Iterator[None]:
    """Run what is due whenever jobs are committed in the block, as `drain` does, before the code goes on.

    In a TestCase nothing is committed: run the callbacks, by `captureOnCommitCallbacks(execute=True)`. What the body
    of a job enqueues runs after it. With `raise_errors` the first error is raised where the block ends: code that
    enqueues never hears of one.
    """
    errors: list[Exception] = []

    def run_due(**signal: Any) -> None:
        if _captures or is_draining():
            return  # whoever drains looks again after each body
        try:
            drain(raise_errors=raise_errors, limit=limit)
        except Exception as error:
            errors.append(error)

    # Not weakly: nobody else knows it.
    jobs_enqueued.connect(run_due, weak=False)
    try:
        yield
    finally:
        jobs_enqueued.disconnect(run_due)
    if errors:
        raise errors[0]
