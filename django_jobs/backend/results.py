"""Rows, and attempts that run, as Django's TaskResult tells of them. Reading never fails: the history is what it is."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django_jobs.backend.bodies import declared
from django_jobs.backend.tasks import JobTask
from django_jobs.compat import AnyResult, AnyTask, TaskError, TaskResult, TaskResultStatus, task_backends
from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import decode_headers
from django_jobs.definitions.registry import find_spec
from django_jobs.errors import UnknownJob
from django_jobs.models import Job, history
from django_jobs.states import STATUS, State

# The header under which a job carries what only a task has.
HEADER = "django.tasks"


def read_result(result_id: object, alias: str) -> AnyResult | None:
    """Return the result of the job of this id, None if there is none. `alias`: for jobs that no task has made."""
    try:
        job_id = UUID(str(result_id))
    except ValueError:
        return None
    job = Job.objects.using(get_settings().DATABASE).filter(pk=job_id).first()
    return None if job is None else result_of(job, alias)


def result_of(job: Job, alias: str) -> AnyResult:
    """Return the result that a row stands for."""
    attempts = history.attempts(job)
    began = [each.started_at for each in attempts if each.started_at is not None]
    return make_result(
        task=task_of(job.name, decode_headers(job.headers), alias, job.queue_name, job.priority),
        id=job.pk,
        status=status_of(State(job.state)),
        enqueued_at=job.enqueued_at,
        started_at=min(began, default=job.started_at),
        finished_at=job.finished_at,
        last_attempted_at=job.started_at,
        args=job.args,
        kwargs=job.kwargs,
        errors=[TaskError(**asdict(each)) for each in history.errors(job, attempts)],
        worker_ids=history.worker_ids(job, attempts),
        return_value=job.result,
    )


def make_result(*, task: AnyTask, id: UUID, return_value: object = None, **values: Any) -> AnyResult:
    """Return a result as Django has it."""
    result: AnyResult = TaskResult(task=task, id=str(id), backend=task.backend, **values)
    object.__setattr__(result, "_return_value", return_value)
    return result


def status_of(state: State) -> TaskResultStatus:
    """Return a state in Django's four words."""
    return TaskResultStatus(STATUS.get(state, "READY"))


def headers_of(task: AnyTask) -> dict[str, Any]:
    """Return what a job carries along of its task, beside what every job has."""
    run_after = None if task.run_after is None else task.run_after.isoformat()
    return {HEADER: {"backend": task.backend, "priority": int(task.priority), "run_after": run_after}}


def task_of(name: str, headers: Mapping[str, Any], alias: str, queue_name: str, priority: int | None = None) -> AnyTask:
    """Return the task that made a job, though its function, its queue or its backend may be gone by now.

    `priority`: as it is now, if somebody may have changed it since.
    """
    said = headers.get(HEADER, {})
    backend = said.get("backend", alias)
    run_after = said.get("run_after")
    values = {
        "priority": said.get("priority", 0) if priority is None else priority,
        "queue_name": queue_name,
        "backend": backend if backend in task_backends.settings else alias,
        "run_after": None if run_after is None else datetime.fromisoformat(run_after),
    }
    base = declared(name)
    if base is not None:
        return _unchecked(type(base), {each.name: getattr(base, each.name) for each in fields(base)} | values)
    spec = find_spec(name)
    function = _gone(name) if spec is None else spec.function
    return _unchecked(JobTask, {"func": function, "takes_context": spec is not None and spec.takes_context} | values)


def _unchecked(task_class: type[AnyTask], values: Mapping[str, Any]) -> AnyTask:
    """Return a task that no backend is asked about: what was right when it was enqueued may not be any more."""
    task = object.__new__(task_class)
    for each in fields(task_class):
        object.__setattr__(task, each.name, values.get(each.name, each.default))
    return task


@lru_cache(maxsize=1024)
def _gone(name: str) -> Callable[..., Any]:
    """Return what stands for a function that is not known here, the same each time: tasks are compared by it."""

    def gone(*args: Any, **kwargs: Any) -> Any:
        raise UnknownJob(f"The function {name!r} is not known here any more.")

    gone.__module__, _, gone.__qualname__ = name.rpartition(".")
    gone.__name__ = gone.__qualname__
    return gone
