"""A call of a task becomes a request like any other."""

from collections.abc import Mapping, Sequence
from typing import Any

from django_jobs.backend.results import headers_of, result_of
from django_jobs.backend.tasks import options_of
from django_jobs.compat import AnyResult, AnyTask, InvalidTask, normalize_json
from django_jobs.definitions.options import JobOptions
from django_jobs.definitions.registry import check_queue_name, get_spec
from django_jobs.definitions.requests import JobRequest
from django_jobs.errors import InvalidOption
from django_jobs.lifecycle.enqueueing import enqueue
from django_jobs.models import Job


def store(
    task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any], defaults: JobOptions, alias: str
) -> tuple[Job, AnyResult]:
    """Store the call and return its row, and the result that the row stands for. Raises InvalidTask, TypeError."""
    try:
        check_queue_name(task.queue_name)
    except InvalidOption as error:
        raise InvalidTask(str(error)) from error
    request = JobRequest(
        get_spec(task.module_path),
        # As Django normalizes them first, they raise what every backend raises.
        tuple(_normalized(each) for each in args),
        {name: _normalized(each) for name, each in kwargs.items()},
        defaults.overlaid(options_of(task)),
        headers_of(task),
    )
    job = enqueue(request)
    return job, result_of(job, alias)


def _normalized(value: Any) -> object:
    return normalize_json(value)
