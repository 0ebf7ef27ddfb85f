"""task_started and task_finished: what becomes of a task, told to whoever listens to Django's signals.

Receivers cannot break a job: what they raise is logged.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError

from django_jobs import clock
from django_jobs.backend.results import HEADER, make_result, read_result, status_of, task_of
from django_jobs.compat import AnyResult, TaskError, task_backends, task_finished, task_started
from django_jobs.conf import task_alias
from django_jobs.definitions.arguments import decode_call, decode_headers
from django_jobs.definitions.outcomes import Claim, Failed, Outcome, Succeeded
from django_jobs.execution.context import JobContext
from django_jobs.signals import attempt_ended
from django_jobs.states import ENDED, State


def announce_start(context: JobContext) -> AnyResult:
    """Tell that the body of a task begins; return the result as it stands."""
    result = _running(context)
    task_started.send_robust(sender=type(task_backends[result.backend]), task_result=result)
    return result


def announce_end(*, claim: Claim, outcome: Outcome, state: State, seconds: float, **kwargs: Any) -> None:
    """Tell that a task has ended, after the commit; one that runs again has not."""
    if f'"{HEADER}"' not in claim.headers or state not in ENDED:
        return
    result = _ended(claim, outcome, state, seconds)
    error = outcome.error if isinstance(outcome, Failed) else None
    if error is None or error.exception is None:
        _send_finished(result)
        return
    traceback = error.exception.__traceback__
    try:
        # Django's log line, and others that listen, take the exception that is being handled.
        raise error.exception
    except BaseException:
        _send_finished(result)
    finally:
        error.exception.__traceback__ = traceback


attempt_ended.connect(announce_end, dispatch_uid="django_jobs.backend.announcing")


def _send_finished(result: AnyResult) -> None:
    task_finished.send_robust(sender=type(task_backends[result.backend]), task_result=result)


def _running(context: JobContext) -> AnyResult:
    """Return the result of an attempt that runs. Only what went before the first one need not be read."""
    if context.attempt > 1:
        try:
            stored = read_result(context.id, task_alias())
        except DatabaseError:
            stored = None  # the body is to run all the same
        if stored is not None:
            return stored
    began = clock.now()
    return make_result(
        task=task_of(context.name, context.headers, task_alias(), context.queue_name),
        id=context.id,
        status=status_of(State.RUNNING),
        enqueued_at=context.enqueued_at,
        started_at=began,
        finished_at=None,
        last_attempted_at=began,
        args=context.args,
        kwargs=context.kwargs,
        errors=[],
        worker_ids=[""] * (context.attempt - 1) + [str(context.worker_id)],
    )


def _ended(claim: Claim, outcome: Outcome, state: State, seconds: float) -> AnyResult:
    """Return the result of a task that has ended. After several attempts the rows know more than the last one."""
    if claim.attempt > 1 or not isinstance(outcome, Succeeded | Failed):
        stored = read_result(claim.id, task_alias())
        if stored is not None:
            return stored
    args, kwargs = decode_call(claim.arguments)
    headers, finished = decode_headers(claim.headers), clock.now()
    errors = []
    if isinstance(outcome, Failed):
        errors.append(TaskError(exception_class_path=outcome.error.class_path, traceback=outcome.error.traceback))
    result = outcome.result if isinstance(outcome, Succeeded) else None
    return make_result(
        task=task_of(claim.name, headers, task_alias(), claim.queue_name),
        id=claim.id,
        status=status_of(state),
        enqueued_at=datetime.fromtimestamp(claim.enqueued, UTC),
        started_at=finished - timedelta(seconds=seconds),
        finished_at=finished,
        last_attempted_at=finished - timedelta(seconds=seconds),
        args=args,
        kwargs=kwargs,
        errors=errors,
        worker_ids=[""] * (claim.attempt - 1) + [str(claim.owner)],
        return_value=None if result is None else json.loads(result),
    )
