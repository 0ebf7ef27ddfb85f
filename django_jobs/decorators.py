"""@job: turns a function into a handle that can be called, changed by .using() and enqueued."""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, Protocol, Unpack, overload
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from django_jobs.conf import get_settings, task_alias
from django_jobs.definitions.batches import Batch
from django_jobs.definitions.declaring import make_spec
from django_jobs.definitions.options import OPTION_NAMES, UNSET, JobOptions, make_options, without
from django_jobs.definitions.registry import DEFAULT_QUEUE, JobSpec, register
from django_jobs.definitions.requests import JobRequest
from django_jobs.definitions.sandbox import Sandbox
from django_jobs.definitions.signatures import Arguments, CallKeywords, DecoratorKeywords, Result, Returned, Value
from django_jobs.execution.context import JobContext
from django_jobs.execution.items import BatchItem

if TYPE_CHECKING:
    from django_jobs.models import Job


@dataclass(frozen=True, slots=True)
class JobFunction(Generic[Arguments, Returned, Result]):
    """The handle that @job gives back."""

    spec: JobSpec
    # What .using() says; laid over what the decorator says.
    options: JobOptions = JobOptions()

    if not TYPE_CHECKING:

        def __class_getitem__(cls, parameters: object) -> type["JobFunction"]:
            """Only type checkers read the parameters; a TypeVar has a default since Python 3.13."""
            return cls

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        """Run the function here and now, as if it were not decorated."""
        return self.spec.function(*args, **kwargs)  # type: ignore[no-any-return]

    def using(self, **options: Unpack[CallKeywords]) -> "JobFunction[Arguments, Returned, Result]":
        """Return a handle with other options; None takes back what an earlier .using() said.

        Options: queue_name, priority, lifo, run_after and expires (datetime, timedelta or seconds), max_attempts,
        backoff, timeout, max_starts, max_stalls, max_payload_bytes, idempotency_key, idempotency_ttl, deduplicate,
        keep, metadata. Raises InvalidOption, NotAvailableYet.
        """
        said = make_options(options, whose=f"{self.spec.name}.using()")
        taken_back = {name for name, value in options.items() if value is None and name in OPTION_NAMES}
        return replace(self, options=without(self.options, taken_back).overlaid(said))

    def request(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> JobRequest:
        """Return a request for this call, not stored. Raises InvalidArguments for a call that does not fit."""
        return JobRequest(self.spec, args, kwargs, self.options)

    def enqueue(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> "Job[Result]":
        """Store the call as a job, in the caller's transaction, and return its row.

        With a key that is taken (idempotency_key, deduplicate): the row that has it; `.created` tells. Raises
        InvalidArguments, PayloadTooLarge, IdempotencyConflict, EnqueueRace.
        """
        from django_jobs.lifecycle.enqueueing import enqueue

        return enqueue(self.request(*args, **kwargs))

    async def aenqueue(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> "Job[Result]":
        """Store the call as a job; see `enqueue`."""
        return await sync_to_async(self.enqueue)(*args, **kwargs)

    def call(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        """Run the function here and now, to its end even if it is `async def`."""
        return (async_to_sync(self.func) if self.spec.is_async else self.func)(*args, **kwargs)

    async def acall(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        """Run the function here and now; a `def` in a thread."""
        return await (self.func if self.spec.is_async else sync_to_async(self.func))(*args, **kwargs)

    @property
    def name(self) -> str:
        return self.spec.name

    # What else a Task of Django has, so that code for the one reads on the other.

    @property
    def func(self) -> Callable[..., Any]:
        return self.spec.function

    @property
    def module_path(self) -> str:
        return self.spec.path

    @property
    def takes_context(self) -> bool:
        return self.spec.takes_context

    @property
    def queue_name(self) -> str:
        return str(self._said("queue_name", DEFAULT_QUEUE))

    @property
    def priority(self) -> int:
        return int(self._said("priority", 0))

    @property
    def run_after(self) -> datetime | None:
        """The moment that .using() named; None also where it named seconds, which count from the INSERT."""
        said = self._said("run_after", None)
        return said if isinstance(said, datetime) else None

    @property
    def backend(self) -> str:
        """The first alias of TASKS that keeps its tasks as jobs; "default" if there is none."""
        return task_alias()

    def get_backend(self) -> Any:
        """Return the backend of Django's Tasks framework at that alias."""
        from django_jobs.compat import task_backends

        return task_backends[self.backend]

    def get_result(self, result_id: object) -> "Job[Result]":
        """Return the job of this id. Raises Django's TaskResultDoesNotExist, and TaskResultMismatch for another's."""
        from django_jobs.models import Job

        try:
            job: Job[Any] = Job.objects.using(get_settings().DATABASE).get(pk=UUID(str(result_id)))
        except (ValueError, Job.DoesNotExist):
            # Not before: what is there is found without the package that Django 5.2 needs for tasks.
            from django_jobs.compat import TaskResultDoesNotExist

            raise TaskResultDoesNotExist(result_id) from None
        if job.name != self.spec.name:
            from django_jobs.compat import TaskResultMismatch

            raise TaskResultMismatch(f"Task does not match (received {job.name!r})")
        return job

    async def aget_result(self, result_id: object) -> "Job[Result]":
        """Return the job of this id; see `get_result`."""
        return await sync_to_async(self.get_result)(result_id)

    def _said(self, option: str, default: Any) -> Any:
        said = getattr(self.spec.options.overlaid(self.options), option)
        return default if said is UNSET else said

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.spec.function

    def __repr__(self) -> str:
        return f"<job {self.spec.name}>"


class Decorator(Protocol):
    """What `@job(...)` gives back."""

    @overload
    def __call__(
        self, function: Callable[Arguments, Coroutine[Any, Any, Value]], /
    ) -> JobFunction[Arguments, Coroutine[Any, Any, Value], Value]: ...

    @overload
    def __call__(self, function: Callable[Arguments, Returned], /) -> JobFunction[Arguments, Returned]: ...


class ContextDecorator(Protocol):
    """What `@job(takes_context=True)` gives back: callers do not pass the context."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[JobContext, Arguments], Coroutine[Any, Any, Value]], /
    ) -> JobFunction[Arguments, Coroutine[Any, Any, Value], Value]: ...

    @overload
    def __call__(
        self, function: Callable[Concatenate[JobContext, Arguments], Returned], /
    ) -> JobFunction[Arguments, Returned]: ...


class BatchDecorator(Protocol):
    """What `@job(batch=...)` gives back: the function returns nothing, or a list of what each item comes to."""

    @overload
    def __call__(self, function: Callable[[list[BatchItem]], None], /) -> JobFunction[..., None]: ...

    @overload
    def __call__(
        self, function: Callable[[list[BatchItem]], Coroutine[Any, Any, None]], /
    ) -> JobFunction[..., Coroutine[Any, Any, None], None]: ...

    @overload
    def __call__(
        self, function: Callable[[list[BatchItem]], Coroutine[Any, Any, list[Value] | tuple[Value, ...]]], /
    ) -> JobFunction[..., Coroutine[Any, Any, list[Value] | tuple[Value, ...]], Value]: ...

    @overload
    def __call__(
        self, function: Callable[[list[BatchItem]], list[Value] | tuple[Value, ...]], /
    ) -> JobFunction[..., list[Value] | tuple[Value, ...], Value]: ...


@overload
def job(
    function: Callable[Arguments, Coroutine[Any, Any, Value]], /
) -> JobFunction[Arguments, Coroutine[Any, Any, Value], Value]: ...


@overload
def job(function: Callable[Arguments, Returned], /) -> JobFunction[Arguments, Returned]: ...


@overload
def job(
    *,
    batch: Batch,
    name: str | None = None,
    aliases: Iterable[str] = (),
    sensitive: Iterable[str] = (),
    **options: Unpack[DecoratorKeywords],
) -> BatchDecorator: ...


@overload
def job(
    *,
    takes_context: Literal[True],
    name: str | None = None,
    aliases: Iterable[str] = (),
    sensitive: Iterable[str] = (),
    atomic: bool = False,
    sandbox: bool | Sandbox = False,
    **options: Unpack[DecoratorKeywords],
) -> ContextDecorator: ...


@overload
def job(
    *,
    takes_context: Literal[False] = False,
    name: str | None = None,
    aliases: Iterable[str] = (),
    sensitive: Iterable[str] = (),
    atomic: bool = False,
    sandbox: bool | Sandbox = False,
    **options: Unpack[DecoratorKeywords],
) -> Decorator: ...


def job(
    function: Callable[..., Any] | None = None,
    /,
    *,
    takes_context: bool = False,
    name: str | None = None,
    aliases: Iterable[str] = (),
    sensitive: Iterable[str] = (),
    atomic: bool = False,
    batch: Batch | None = None,
    sandbox: bool | Sandbox = False,
    **options: Any,
) -> Any:
    """Make a function, `def` or `async def`, a job.

    `name`: what the rows call it, the dotted path unless given; give one before you move or rename the function.
    `aliases`: names that it had before, so that jobs which were stored under them still run.
    `sensitive`: parameters whose values the admin, commands and messages hide; "return" hides the result.
    `atomic`: the body runs in a transaction on the job database, and the job succeeds in that same one; `def` only.
    `batch`: Batch(...): the function gets a list of BatchItems, each a job that was enqueued with arguments of its own.
    `sandbox`: True, or Sandbox(...) with limits: the body runs in a process of its own, whose end is only its own.
    `takes_context`: the first parameter, called `context`, receives a JobContext. Options: see `.using()`; here
    `backoff` may also be a callable `(exception, context) -> seconds or None`, and `idempotency_key` and the key of
    `deduplicate` a callable of the arguments. `retry_on`, `no_retry_on`: an exception class or several; only errors of
    the first, and none of the second, are tried again. Raises InvalidOption, NotAvailableYet, DuplicateJobName.
    """

    def decorate(function: Callable[..., Any]) -> JobFunction[..., Any]:
        spec = make_spec(
            function,
            takes_context,
            name,
            sensitive,
            atomic,
            aliases=aliases,
            batch=batch,
            sandbox=sandbox,
            options=options,
        )
        register(spec)
        return JobFunction(spec)

    return decorate if function is None else decorate(function)
