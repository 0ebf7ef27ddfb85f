"""What a running job may know of itself."""

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from asgiref.sync import sync_to_async

from django_jobs.errors import CancelJob
from django_jobs.execution.cancelling import Key, reason_of

if TYPE_CHECKING:
    # Only named here: a project's models may import this before the apps are ready, and these need models.
    from django_jobs.execution.job_data import JobData
    from django_jobs.execution.steps import Steps
    from django_jobs.lifecycle.reporting import Notes


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The attempt that runs: first argument of a job that takes_context, and what `current_job()` returns."""

    id: UUID
    name: str
    queue_name: str
    # Counted from 1; a snooze or a death of the worker does not count.
    attempt: int
    max_attempts: int
    # How often a body of this job was started, whatever came of it.
    starts: int
    enqueued_at: datetime
    # The worker that runs it: the id of its row.
    worker_id: UUID
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    # What middleware sent along when the job was enqueued.
    headers: dict[str, Any] = field(default_factory=dict)
    # When the time of the body is up, by this host's clock; None: never.
    deadline: datetime | None = None
    _key: Key | None = field(default=None, repr=False, compare=False)
    _notes: "Notes" = field(repr=False, compare=False)
    _data: "JobData" = field(repr=False, compare=False)
    _steps: "Steps" = field(repr=False, compare=False)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel this job. Costs nothing: the worker asks the database once a second."""
        return reason_of(self._key) is not None

    def raise_if_cancelled(self) -> None:
        """End the job as cancelled if somebody asked for that."""
        reason = reason_of(self._key)
        if reason is not None:
            raise CancelJob(reason)

    @property
    def attempts(self) -> int:
        """How many attempts there have been with this one: what Django's TaskResult calls it."""
        return self.attempt

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts

    def progress(self, current: Any, total: float | None = None, message: str = "") -> None:
        """Say how far the body has come: a number, of `total` if that is known, or a small structure.

        Only kept in memory, so that it may be called for every item; written every few seconds and at the end.
        Raises InvalidArguments for what JSON cannot hold.
        """
        self._notes.progress(current, total, message)

    def log(self, text: object) -> None:
        """Add a text to the log of the job, a line of it for each of its own. Kept in memory, as the progress is."""
        self._notes.log(text)

    @property
    def data(self) -> dict[str, Any]:
        """What this or an earlier attempt has saved last; empty at first. A change counts once it is saved."""
        return self._data.get()

    async def adata(self) -> dict[str, Any]:
        """Return `data`: in an `async def` body its first look goes to the database."""
        return await sync_to_async(self._data.get)()

    def save(self, data: Mapping[str, Any]) -> None:
        """Keep a dict for this and later attempts, in place of the one before; it is stored when this returns.

        Inside of a transaction on the job database it is stored with that. Raises InvalidArguments for what JSON
        cannot hold, PayloadTooLarge above MAX_DATA_BYTES, and ClaimLost if the job was taken from this worker.
        """
        self._data.save(data)

    async def asave(self, data: Mapping[str, Any]) -> None:
        """Keep a dict; see `save`."""
        await sync_to_async(self._data.save)(data)

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, atomic: bool = False, **kwargs: Any) -> Any:
        """Call a function once in the life of this job and keep its result; later attempts only return what is kept.

        The result is what JSON makes of it. With `atomic` the function runs in a transaction on the job database, in
        which the step is kept as well. Raises InvalidStep and ClaimLost.
        """
        return self._steps.run(name, partial(function, *args, **kwargs), atomic=atomic)

    async def astep(
        self, name: str, function: Callable[..., Any], /, *args: Any, atomic: bool = False, **kwargs: Any
    ) -> Any:
        """Call a function, `def` or `async def`, once in the life of this job; see `step`."""
        return await self._steps.arun(name, function, partial(function, *args, **kwargs), atomic=atomic)

    def step_key(self, name: str) -> str:
        """Return a text of 36 characters that is the same in every attempt: for services that take idempotency keys."""
        return str(uuid5(self.id, name))


_making = threading.Lock()


class LazyContext:
    """The context of an attempt, made when somebody first asks for it: most bodies never do."""

    __slots__ = ("_make", "made")

    def __init__(self, make: Callable[[], JobContext]) -> None:
        self._make = make
        self.made: JobContext | None = None

    def __call__(self) -> JobContext:
        if self.made is None:
            # A body may have threads of its own, and what one of them says must not be lost.
            with _making:
                if self.made is None:
                    self.made = self._make()
        return self.made


# The one job that runs here, or those of a batch.
_current: ContextVar[LazyContext | tuple[JobContext, ...]] = ContextVar("django_jobs_current_job", default=())


def current_job() -> JobContext | None:
    """Return the context of the job that runs here; None outside of any and in a batch, where no single one runs."""
    found = _current.get()
    return found() if isinstance(found, LazyContext) else None


def current_jobs() -> tuple[JobContext, ...]:
    """Return the contexts of the jobs that the body here runs for: the items of a batch, one job, or none."""
    found = _current.get()
    return (found(),) if isinstance(found, LazyContext) else found


class as_current:  # noqa: N801, it is used as a function; a class takes a fifth of the time of a generator
    """Let a body run for one job, or for those of a batch."""

    __slots__ = ("_jobs", "_token")

    def __init__(self, jobs: LazyContext | tuple[JobContext, ...]) -> None:
        self._jobs = jobs

    def __enter__(self) -> None:
        self._token = _current.set(self._jobs)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
