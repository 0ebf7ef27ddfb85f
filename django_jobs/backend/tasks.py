"""The class of tasks that take the options of jobs beside Django's own."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from django_jobs import clock
from django_jobs.backend.bodies import remember
from django_jobs.compat import AnyTask, Task
from django_jobs.definitions.durations import seconds
from django_jobs.definitions.options import JobOptions, make_options

_DJANGOS = frozenset(each.name for each in fields(Task))


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class JobTask(AnyTask):
    """A task with options of jobs: `@task(max_attempts=5)`, `.using(timeout=30)`; see `JobFunction.using`."""

    # Tasks are compared by Django's own fields alone: a row does not tell an option that was said from a default.
    options: JobOptions = field(default=JobOptions(), compare=False, repr=False)

    def __init__(self, *, func: Callable[..., Any], options: JobOptions = JobOptions(), **values: Any) -> None:
        said = {name: value for name, value in values.items() if name not in _DJANGOS}
        given = {**values, "func": func, "options": options}
        for each in fields(self):
            object.__setattr__(self, each.name, given.get(each.name, each.default))
        self.__post_init__()
        if said:
            object.__setattr__(self, "options", remember(self, said).options)

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | float | None = None,
        backend: str | None = None,
        **options: Any,
    ) -> "JobTask":
        """Return a task with other options; None leaves one as it is, as in Django.

        `run_after` may be a timedelta or seconds too, counted from now. Raises InvalidOption, InvalidTask.
        """
        said = make_options(options, whose=f"{self.module_path}.using()")
        given = {"priority": priority, "queue_name": queue_name, "run_after": _moment(run_after), "backend": backend}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return replace(self, **changes, options=self.options.overlaid(said))


def options_of(task: AnyTask) -> JobOptions:
    """Return all that a task says, as options of a job. Raises InvalidOption."""
    said = {"queue_name": task.queue_name, "priority": int(task.priority), "run_after": task.run_after}
    own = make_options(said, whose=f"@task {task.module_path}")
    return task.options.overlaid(own) if isinstance(task, JobTask) else own


def _moment(value: datetime | timedelta | float | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return clock.now() + (
        value if isinstance(value, timedelta) else timedelta(seconds=seconds(value, option="run_after"))
    )
