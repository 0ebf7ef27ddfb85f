"""execute: a claim goes in, an outcome comes out. It makes values and writes nothing."""

import asyncio
import traceback as tracebacks
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.annotations import read_arguments
from django_jobs.definitions.arguments import clean_bytes, clean_text, decode_call, decode_headers, encode_result
from django_jobs.definitions.durations import seconds
from django_jobs.definitions.outcomes import (
    Claim,
    ErrorReport,
    Failed,
    GivenBack,
    Outcome,
    Retried,
    Snoozed,
    Stopped,
    Succeeded,
)
from django_jobs.definitions.registry import JobSpec, find_spec, get_spec
from django_jobs.definitions.requests import check_fit
from django_jobs.definitions.retries import DEFAULT_BACKOFF, from_text
from django_jobs.errors import CancelJob, GiveUp, InvalidArguments, InvalidOption, JobTimeout, RetryLater, Snooze
from django_jobs.execution.atomic import commit_together
from django_jobs.execution.cancelling import TaskBody, reason_of
from django_jobs.execution.context import JobContext, LazyContext, as_current
from django_jobs.execution.job_data import JobData
from django_jobs.execution.steps import Steps
from django_jobs.execution.timeouts import call_in_time, in_time, message
from django_jobs.lifecycle.reporting import notes_of
from django_jobs.middleware import around


def execute(claim: Claim) -> Outcome:
    """Run the body of a `def` job in this thread and return what it came to."""
    if must_not_begin(claim):
        return GivenBack()
    try:
        spec, args, kwargs = _prepare(claim)
    except Exception as error:
        return hopeless(error)
    try:
        if not spec.is_atomic:
            return _run(claim, spec, args, kwargs)
        with as_current(_context_of(claim, args, kwargs)):
            # Prepared anew for each run: what one that was undone did to its arguments and its data is undone too.
            return commit_together(claim, lambda: _run(claim, *_prepare(claim)))
    except BaseException as error:  # SystemExit too: a body must not end the worker
        return outcome_of(claim, error)


def _run(claim: Claim, spec: JobSpec, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
    context_of = _context_of(claim, args, kwargs)
    with as_current(context_of):
        with around(context_of):
            value = call_in_time((claim,), spec.function, *_leading(spec, context_of), *args, **kwargs)
        context = context_of.made
        if context is not None and context._steps.must_be_marked:
            context._steps.mark()
        return succeeded(value)


async def aexecute(claim: Claim) -> Outcome:
    """Run the body of an `async def` job on this loop and return what it came to."""
    if must_not_begin(claim):
        return GivenBack()
    try:
        spec, args, kwargs = _prepare(claim)
    except Exception as error:
        return hopeless(error)
    context_of = _context_of(claim, args, kwargs)
    body = TaskBody((claim.id, claim.fence))
    try:
        with as_current(context_of):
            async with around(context_of):
                # The body alone, not what surrounds it.
                with body, in_time((claim,), body):
                    value = await spec.function(*_leading(spec, context_of), *args, **kwargs)
            context = context_of.made
            if context is not None and context._steps.must_be_marked:
                await sync_to_async(context._steps.mark)()
    except asyncio.CancelledError as error:
        return outcome_of_cancellation(claim, body, error)
    except BaseException as error:
        return outcome_of(claim, error)
    return succeeded(value)


def timed_out(claim: Claim, cause: BaseException | None = None) -> Outcome:
    """Return what an attempt comes to whose time was up; also for one whose body cannot be made to end."""
    error = JobTimeout(message(claim))
    error.__cause__ = cause
    return outcome_of(claim, error)


def must_not_begin(claim: Claim) -> bool:
    """Tell whether the body is too late or not wanted any more: it goes back as if never claimed, and ends there."""
    if claim.expires is not None and clock.monotonic() >= claim.expires:
        return True
    return reason_of((claim.id, claim.fence)) is not None


def outcome_of_cancellation(claim: Claim, body: TaskBody, error: asyncio.CancelledError) -> Outcome:
    """Tell who cancelled the task: its deadline, a person, the worker that stops, or the body itself."""
    if body.is_late:
        return timed_out(claim, error)
    reason = reason_of((claim.id, claim.fence))
    if reason is not None:
        return Stopped(reason)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return GivenBack(begun=True)
    return outcome_of(claim, error)


def _prepare(claim: Claim) -> tuple[JobSpec, list[Any], dict[str, Any]]:
    """Return the job and the arguments of its body."""
    spec = get_spec(claim.name)
    args, kwargs = decode_call(claim.arguments)
    try:
        # Nothing is to be read and nothing to be put in its place: to bind it would take longer than all else here.
        if not kwargs and not check_fit(spec, len(args), ()):
            return spec, args, kwargs
        bound = spec.signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidArguments(
            f"The stored arguments do not fit {spec.name}{spec.signature}: {error}. The job was stored with "
            f"{_shape(args, kwargs)}, so its signature has changed since. Give new parameters a default, and keep old "
            "ones until the last job that names them has run; then run this one again."
        ) from None
    read_arguments(spec, bound)
    return spec, list(bound.args), bound.kwargs


def _shape(args: list[Any], kwargs: dict[str, Any]) -> str:
    """Tell of a call how many arguments it has and how they are named, and none of their values."""
    named = f"the arguments {', '.join(kwargs)} by name" if kwargs else "none by name"
    return f"{len(args)} arguments by position and {named}"


def _context_of(claim: Claim, args: list[Any], kwargs: dict[str, Any]) -> LazyContext:
    context_of = LazyContext(partial(make_context, claim, args, kwargs))
    if claim.timeout is not None:
        context_of()  # its deadline is reckoned from now
    return context_of


def make_context(claim: Claim, args: list[Any], kwargs: dict[str, Any]) -> JobContext:
    """Return the context of a claimed attempt."""
    return JobContext(**facts_of(claim, args, kwargs))


def facts_of(claim: Claim, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return what a context is made of."""
    return {
        "id": claim.id,
        "name": claim.name,
        "queue_name": claim.queue_name,
        "attempt": claim.attempt,
        "max_attempts": claim.max_attempts,
        "starts": claim.starts,
        "enqueued_at": datetime.fromtimestamp(claim.enqueued, UTC),
        "worker_id": claim.owner,
        "args": args,
        "kwargs": kwargs,
        "headers": decode_headers(claim.headers),
        "deadline": None if claim.timeout is None else clock.now() + timedelta(seconds=claim.timeout),
        "_key": (claim.id, claim.fence),
        "_notes": notes_of(claim),
        "_data": JobData(claim),
        "_steps": Steps(claim, get_spec(claim.name)),
    }


def _leading(spec: JobSpec, context_of: LazyContext) -> tuple[JobContext, ...]:
    return (context_of(),) if spec.takes_context else ()


def succeeded(value: object) -> Outcome:
    """Return what an attempt comes to that has ended well with this result."""
    if value is None:
        return Succeeded()
    try:
        return Succeeded(encode_result(value, limit=get_settings().MAX_RESULT_BYTES))
    except Exception as error:
        return hopeless(error)


def hopeless(error: Exception) -> Failed:
    """What would fail in the same way for ever is not tried again, least of all a body that has run to its end."""
    return Failed(report_of(error))


def outcome_of(claim: Claim, error: BaseException) -> Outcome:
    """Turn whatever a body raised into a value. Nothing that user code adds may break it.

    Of a job that only others know, its row alone says how it is retried.
    """
    match error:
        case KeyboardInterrupt():
            return GivenBack(begun=True)
        case Snooze():
            return _with_delay(claim, error, lambda delay: Snoozed(delay))
        case CancelJob():
            return Stopped(clean_text(_message(error), 500))
        case GiveUp():
            return Failed(report_of(error))
        case RetryLater():
            report = report_of(error)
            if claim.attempt >= claim.max_attempts:
                return Failed(report)
            return _with_delay(claim, error, lambda delay: Retried(report, delay))
    report = report_of(error)
    spec = find_spec(claim.name)
    if claim.attempt >= claim.max_attempts or (spec is not None and not spec.may_retry(error)):
        return Failed(report)
    return _retried(claim, error, report)


def _retried(claim: Claim, error: BaseException, report: ErrorReport) -> Outcome:
    """Ask the backoff how long to wait; one that is broken fails the job and says so."""
    try:
        delay = _delay(claim, error)
    except BaseException as broken:  # a callable of the user's too must not end the worker
        return Failed(report_of(broken))
    return Failed(report) if delay is None else Retried(report, delay)


def _delay(claim: Claim, error: BaseException) -> float | None:
    backoff = from_text(claim.backoff)
    if backoff is not None:
        return backoff.delay_seconds(claim.attempt)
    spec = find_spec(claim.name)
    function = None if spec is None else spec.backoff_function
    if function is None:
        return DEFAULT_BACKOFF.delay_seconds(claim.attempt)
    answer = function(error, make_context(claim, *decode_call(claim.arguments)))
    return None if answer is None else seconds(answer, option=f"What the backoff of {claim.name} returned")


def _with_delay(claim: Claim, error: Any, make: Any) -> Outcome:
    try:
        return make(seconds(error.delay, option=f"The delay of {type(error).__name__} in {claim.name}"))  # type: ignore[no-any-return]
    except InvalidOption as broken:
        return Failed(report_of(broken))


def report_of(error: BaseException) -> ErrorReport:
    """Return what is kept of an exception, whatever it is like."""
    kind = type(error)
    try:
        text = "".join(tracebacks.format_exception(error))
    except Exception:
        text = "(its traceback cannot be shown)"
    return ErrorReport(
        class_path=clean_text(f"{kind.__module__}.{kind.__qualname__}", 300),
        message=clean_text(_message(error), 10_000),
        traceback=clean_bytes(text, get_settings().MAX_TRACEBACK_BYTES),
        exception=error,
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be shown)"
