"""Waiting for the end of a job, by looking at its row: ever less often, and once for all that are awaited."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, connections
from django.db.transaction import TransactionManagementError

from django_jobs import clock
from django_jobs.errors import JobCancelled, JobFailed
from django_jobs.states import ENDED, State

if TYPE_CHECKING:
    from django_jobs.models.job import Job

logger = logging.getLogger("django_jobs")

SHORTEST_SECONDS, LONGEST_SECONDS, GROWTH = 0.02, 1.0, 1.5
# So many ids are asked for in one statement.
PORTION = 500


def wait(job: "Job", timeout: float | None) -> Any:
    """Return the result of a job once it has ended; see `Job.wait`."""
    deadline = math.inf if timeout is None else clock.monotonic() + timeout
    look(job)
    pauses = rests()
    while not job.is_finished:
        left = deadline - clock.monotonic()
        if left <= 0:
            raise too_late(job, timeout)
        time.sleep(min(next(pauses), left))
        refresh(job)
    return outcome(job)


async def await_result(job: "Job", timeout: float | None) -> Any:
    """Return the result of a job once it has ended; see `Job.await_result`."""
    await sync_to_async(look)(job)
    if not job.is_finished:
        try:
            async with asyncio.timeout(timeout):
                await _watch.end_of(job)
        except TimeoutError:
            raise too_late(job, timeout) from None
        await sync_to_async(refresh)(job)
    return outcome(job)


def look(job: "Job") -> None:
    """Read the row. Raises TransactionManagementError if the end could never be seen from here."""
    refresh(job)
    if not job.is_finished and connections[_using(job)].in_atomic_block:
        raise TransactionManagementError(
            f"Job {job.pk} ({job.name}) cannot be waited for inside of a transaction: enqueued in it, it starts only "
            "after its commit. Wait after the transaction, or in transaction.on_commit()."
        )


def refresh(job: "Job") -> None:
    try:
        job.refresh_from_db()
    except type(job).DoesNotExist:
        raise type(job).DoesNotExist(f"Job {job.pk} ({job.name}) was removed; its result is not known.") from None


def outcome(job: "Job") -> Any:
    """Return what a job that has ended returned. Raises JobFailed, JobCancelled."""
    if job.state == State.FAILED:
        raise JobFailed(f"Job {job.pk} ({job.name}) failed. {job.error}".rstrip())
    if job.state == State.CANCELLED:
        raise JobCancelled(f"Job {job.pk} ({job.name}) was cancelled. {job.error}".rstrip())
    return job.result


def too_late(job: "Job", timeout: float | None) -> TimeoutError:
    return TimeoutError(f"Job {job.pk} ({job.name}) has not ended within {timeout} seconds. It goes on all the same.")


def rests() -> Iterator[float]:
    rest = SHORTEST_SECONDS
    while True:
        yield rest
        rest = min(rest * GROWTH, LONGEST_SECONDS)


def _using(job: "Job") -> str:
    return job._state.db or "default"


class Watch:
    """One thread that looks for all jobs that this process awaits; it ends with the last of them.

    A thread and no task: event loops come and go, and a look must not take the place of a request's own queries.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: dict[asyncio.Future[None], Job] = {}
        self._is_more = threading.Event()
        self._thread: threading.Thread | None = None

    async def end_of(self, job: "Job") -> None:
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            self._awaited[future] = job
            self._is_more.set()
            # Not alive either in a child that was forked while it was.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="django_jobs watch", daemon=True)
                self._thread.start()
        try:
            await future
        finally:
            with self._lock:
                self._awaited.pop(future, None)
                if not self._awaited:
                    self._is_more.set()  # it looks, and ends

    def _run(self) -> None:
        pauses = rests()
        while True:
            with self._lock:
                if not self._awaited:
                    self._thread = None
                    break
                awaited = dict(self._awaited)
            try:
                self._tell(awaited, _ended(list(awaited.values())))
            except (OperationalError, InterfaceError) as error:
                logger.warning("The database is away; whoever awaits a job waits on. %s", error)
                connections.close_all()
            except Exception as error:
                self._tell(awaited, {job.pk for job in awaited.values()}, error)
            if self._is_more.wait(next(pauses)):
                self._is_more.clear()
                pauses = rests()
        connections.close_all()

    def _tell(self, awaited: "dict[asyncio.Future[None], Job]", ids: set[UUID], error: Exception | None = None) -> None:
        for future, job in awaited.items():
            if job.pk in ids:
                with self._lock:
                    self._awaited.pop(future, None)
                with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                    future.get_loop().call_soon_threadsafe(_set, future, error)


_watch = Watch()


def _set(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _ended(jobs: "list[Job]") -> set[UUID]:
    """Return the ids of those that have ended or are gone: one statement a database."""
    over: set[UUID] = set()
    for using in {_using(job) for job in jobs}:
        ids = sorted({job.pk for job in jobs if _using(job) == using})
        for start in range(0, len(ids), PORTION):
            portion = ids[start : start + PORTION]
            rows = type(jobs[0])._default_manager.using(using).filter(pk__in=portion)
            states = dict(rows.values_list("pk", "state"))
            over |= {id for id in portion if states.get(id, ENDED[0]) in ENDED}
    return over
