"""@job: turns a function into a handle that can be called, changed by .using() and enqueued."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload
from uuid import UUID

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async

from django_jobs.conf import did_you_mean, get_settings, task_aliases
from django_jobs.definitions.batches import Batch
from django_jobs.definitions.deduplication import Deduplicate
from django_jobs.definitions.options import JOB_NAME, OPTION_NAMES, UNSET, JobOptions, make_options, without
from django_jobs.definitions.redaction import RESULT
from django_jobs.definitions.registry import DEFAULT_QUEUE, JobSpec, register
from django_jobs.definitions.requests import JobRequest
from django_jobs.definitions.retries import error_classes
from django_jobs.definitions.sandbox import Sandbox, read_sandbox
from django_jobs.errors import InvalidOption
from django_jobs.execution.context import JobContext
from django_jobs.execution.items import BatchItem

if TYPE_CHECKING:
    from django_jobs.models import Job

RETRY_RULES = ("retry_on", "no_retry_on")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# Of a batched job each item has arguments of its own, of which the function says nothing.
_ANY_CALL = inspect.signature(lambda *args, **kwargs: None)
_NOT_IN_BATCHES = {
    "takes_context": "each item of the list is the context of its own job.",
    "atomic": "items end each in its own way, and a transaction only as a whole. Open one in the body.",
    "sandbox": "a sandbox runs one job, so that its end is only its own.",
}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class JobFunction(Generic[Arguments, Result]):
    """The handle that @job gives back."""

    spec: JobSpec
    # What .using() says; laid over what the decorator says.
    options: JobOptions = JobOptions()

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Run the function here and now, as if it were not decorated."""
        return self.spec.function(*args, **kwargs)  # type: ignore[no-any-return]

    def using(self, **options: Any) -> "JobFunction[Arguments, Result]":
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

    def enqueue(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> "Job":
        """Store the call as a job, in the caller's transaction, and return its row.

        With a key that is taken (idempotency_key, deduplicate): the row that has it; `.created` tells. Raises
        InvalidArguments, PayloadTooLarge, IdempotencyConflict, EnqueueRace.
        """
        from django_jobs.lifecycle.enqueueing import enqueue

        return enqueue(self.request(*args, **kwargs))

    async def aenqueue(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> "Job":
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
        return next(iter(task_aliases()), "default")

    def get_backend(self) -> Any:
        """Return the backend of Django's Tasks framework at that alias."""
        from django_jobs.compat import task_backends

        return task_backends[self.backend]

    def get_result(self, result_id: object) -> "Job":
        """Return the job of this id. Raises Django's TaskResultDoesNotExist, and TaskResultMismatch for another's."""
        from django_jobs.compat import TaskResultDoesNotExist, TaskResultMismatch
        from django_jobs.models import Job

        try:
            job = Job.objects.using(get_settings().DATABASE).get(pk=UUID(str(result_id)))
        except (ValueError, Job.DoesNotExist):
            raise TaskResultDoesNotExist(result_id) from None
        if job.name != self.spec.name:
            raise TaskResultMismatch(f"Task does not match (received {job.name!r})")
        return job

    async def aget_result(self, result_id: object) -> "Job":
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


@overload
def job(function: Callable[Arguments, Result], /) -> JobFunction[Arguments, Result]: ...


@overload
def job(
    *, batch: Batch, name: str | None = None, sensitive: Iterable[str] = (), **options: Any
) -> Callable[[Callable[[list[BatchItem]], Result]], JobFunction[..., Result]]: ...


@overload
def job(
    *,
    takes_context: Literal[True],
    name: str | None = None,
    aliases: Iterable[str] = (),
    sensitive: Iterable[str] = (),
    atomic: bool = False,
    sandbox: bool | Sandbox = False,
    **options: Any,
) -> Callable[[Callable[Concatenate[JobContext, Arguments], Result]], JobFunction[Arguments, Result]]: ...


@overload
def job(
    *,
    takes_context: Literal[False] = False,
    name: str | None = None,
    aliases: Iterable[str] = (),
    sensitive: Iterable[str] = (),
    atomic: bool = False,
    sandbox: bool | Sandbox = False,
    **options: Any,
) -> Callable[[Callable[Arguments, Result]], JobFunction[Arguments, Result]]: ...


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


def make_spec(
    function: Callable[..., Any],
    takes_context: bool,
    name: str | None,
    sensitive: Iterable[str],
    atomic: bool,
    *,
    aliases: Iterable[str] = (),
    batch: Batch | None = None,
    sandbox: bool | Sandbox = False,
    options: dict[str, Any],
) -> JobSpec:
    """Return what a decorator says of a function, checked. Raises InvalidOption, NotAvailableYet."""
    if not inspect.isfunction(function):
        raise InvalidOption(f"@job is for functions, not for {function!r}.")
    whose = f"@job of {function.__module__}.{function.__qualname__}"
    if name is None and "<locals>" in function.__qualname__:
        raise InvalidOption(f"{whose}: a function inside a function needs a name=, for workers cannot import it.")
    job_name = f"{function.__module__}.{function.__qualname__}" if name is None else name
    if not isinstance(job_name, str) or not JOB_NAME.fullmatch(job_name):
        raise InvalidOption(f"{whose}: name must be 1 to 200 letters, digits or _ . : -, not {job_name!r}.")
    # A callable is read from code alone, never from data, so it stays with the function and out of the row.
    callables = {key: options[key] for key in ("backoff", "idempotency_key") if callable(options.get(key))}
    classes = _error_classes(options, whose)
    plain = {key: value for key, value in options.items() if key not in {*callables, *RETRY_RULES}}
    if options.get("idempotency_key") is not None and options.get("deduplicate") is not None:
        raise InvalidOption(f"{whose}: idempotency_key and deduplicate contradict each other. Leave one of them out.")
    deduplicate, key = plain.get("deduplicate"), None
    if isinstance(deduplicate, Deduplicate) and callable(deduplicate.key):
        plain["deduplicate"], key = replace(deduplicate, key=None), deduplicate.key
    if batch is not None:
        others = {"takes_context": takes_context, "atomic": atomic, "sandbox": sandbox}
        _check_batch(function, batch, others, whose)
    signature = _ANY_CALL if batch is not None else _call_signature(function, takes_context, whose)
    return JobSpec(
        name=job_name,
        function=function,
        options=make_options(plain, whose=whose),
        signature=signature,
        aliases=_former_names(aliases, job_name, whose),
        sensitive=_sensitive_names(sensitive, signature, whose),
        takes_context=takes_context,
        is_async=iscoroutinefunction(function),
        is_atomic=_is_atomic(function, atomic, whose),
        batch=batch,
        sandbox=read_sandbox(sandbox, f"{whose}: sandbox"),
        backoff_function=callables.get("backoff"),
        key_function=callables.get("idempotency_key"),
        **classes,
        deduplication_key_function=key,
    )


def _error_classes(options: dict[str, Any], whose: str) -> dict[str, Any]:
    """Return what `retry_on` and `no_retry_on` name; no class can be both."""
    classes = {
        name: error_classes(options[name], option=f"{whose}: {name}")
        for name in RETRY_RULES
        if options.get(name) is not None
    }
    both = set(classes.get("retry_on", ())) & set(classes.get("no_retry_on", ()))
    if both:
        names = ", ".join(sorted(each.__name__ for each in both))
        raise InvalidOption(f"{whose}: retry_on and no_retry_on both name {names}.")
    return classes


def _is_atomic(function: Callable[..., Any], atomic: bool, whose: str) -> bool:
    if not isinstance(atomic, bool):
        raise InvalidOption(f"{whose}: atomic must be True or False, not {atomic!r}.")
    if atomic and (iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        raise InvalidOption(
            f"{whose}: atomic=True needs a `def`, for Django has no transactions in `async def`. Make it a `def`, or "
            "put its writes into a step: await context.astep(name, function, atomic=True)."
        )
    return atomic


def _check_batch(function: Callable[..., Any], batch: object, others: dict[str, Any], whose: str) -> None:
    if not isinstance(batch, Batch):
        raise InvalidOption(f"{whose}: batch must be Batch(...), not {batch!r}.")
    for name, reason in _NOT_IN_BATCHES.items():
        if others.get(name):
            raise InvalidOption(f"{whose}: batch and {name} contradict each other: {reason}")
    try:
        inspect.signature(function).bind([])
    except TypeError:
        raise InvalidOption(f"{whose}: a batch calls its function with one argument, a list of BatchItems.") from None


def _former_names(names: Iterable[str], job_name: str, whose: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise InvalidOption(f"{whose}: aliases must be a list of names, not {names!r}. Write [{names!r}].")
    found = tuple(dict.fromkeys(names))
    for name in found:
        if not isinstance(name, str) or not JOB_NAME.fullmatch(name):
            raise InvalidOption(f"{whose}: an alias must be 1 to 200 letters, digits or _ . : -, not {name!r}.")
        if name == job_name:
            raise InvalidOption(
                f"{whose}: the alias {name!r} is its name already. Aliases are names that it had before."
            )
    return found


def _sensitive_names(names: Iterable[str], signature: inspect.Signature, whose: str) -> frozenset[str]:
    """Return the names, each of which must hide something: a misspelt one would hide nothing and say nothing."""
    if isinstance(names, str):
        raise InvalidOption(f"{whose}: sensitive must be a list of parameter names, not {names!r}. Write [{names!r}].")
    found = frozenset(names)
    known = {*signature.parameters, RESULT}
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values())
    for name in sorted(found - known, key=str):
        if not takes_any:
            raise InvalidOption(
                f"{whose}: sensitive names {name!r}, which is no parameter.{did_you_mean(str(name), known)} "
                f"{RESULT!r} hides the result."
            )
    return found


def _call_signature(function: Callable[..., Any], takes_context: bool, whose: str) -> inspect.Signature:
    """Return the signature that callers of .enqueue() see: without the context."""
    signature = inspect.signature(function)
    if not takes_context:
        return signature
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].name != "context" or parameters[0].kind not in _POSITIONAL:
        raise InvalidOption(f"{whose}: takes_context=True needs a first parameter called 'context'.")
    return signature.replace(parameters=parameters[1:])
