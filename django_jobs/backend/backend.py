"""JobsBackend: what Django's Tasks framework asks of a backend, answered with jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage

from django_jobs.backend.bodies import remember
from django_jobs.backend.tasks import JobTask, options_of
from django_jobs.check_messages import error
from django_jobs.compat import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    InvalidTask,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    task_enqueued,
)
from django_jobs.conf import did_you_mean
from django_jobs.decorators import JobFunction
from django_jobs.definitions.options import OPTION_NAMES, QUEUE_NAME, JobOptions, make_options
from django_jobs.errors import InvalidOption

# Django's own, and those that belong to one call or one function.
_NOT_FOR_ALL = frozenset("queue_name priority run_after expires idempotency_key deduplicate".split())
_PARAMETERS = ("BACKEND", "QUEUES", "OPTIONS")
_OPTIONS = [name.upper() for name in OPTION_NAMES if name not in _NOT_FOR_ALL]


class TakesJobOptions(BaseTaskBackend):
    """A backend whose tasks have options of jobs, each of which TASKS[alias]["OPTIONS"] may give for all."""

    task_class = JobTask

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, dict(params))
        self._parameters = dict(params)

    @property
    def job_options(self) -> JobOptions:
        """What OPTIONS says. Raises InvalidTaskBackend."""
        try:
            return self._read_options()
        except InvalidOption as error:
            raise InvalidTaskBackend(str(error)) from error

    def validate_task(self, task: AnyTask) -> None:
        super().validate_task(task)
        try:
            options_of(task)
        except InvalidOption as error:
            raise InvalidTask(str(error)) from error

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Ask nothing but the settings: connects to nothing."""
        whose = f"TASKS[{self.alias!r}]"
        messages: list[CheckMessage] = []
        for name in sorted(set(self._parameters) - set(_PARAMETERS)):
            hint = f"{did_you_mean(name, _PARAMETERS)} Known are: {', '.join(_PARAMETERS)}. Options go into OPTIONS."
            messages.append(error("E011", f"{whose} has no {name!r}.", hint.strip()))
        try:
            self._read_options()
        except InvalidOption as wrong:
            messages.append(error("E012", str(wrong), f'Write {whose}["OPTIONS"] = {{"MAX_ATTEMPTS": 5}}.'))
        for name in sorted(map(str, self.queues)):
            if not QUEUE_NAME.fullmatch(name):
                said = f"{whose}['QUEUES'] has {name!r}, but names are 1 to 100 letters, digits or _ . : -."
                messages.append(error("E013", said, "Give the queue another name."))
        return messages

    def _read_options(self) -> JobOptions:
        whose = f"TASKS[{self.alias!r}]['OPTIONS']"
        if not isinstance(self.options, Mapping):
            raise InvalidOption(f"{whose} must be a dict, not {self.options!r}.")
        said = {str(name).lower(): value for name, value in self.options.items()}
        for name in sorted(_NOT_FOR_ALL & said.keys()):
            raise InvalidOption(f"{whose} cannot set {name!r} for all tasks. Say it on @task or in .using().")
        return make_options(said, whose=whose, known=_OPTIONS)


class JobsBackend(TakesJobOptions):
    """Stores tasks as jobs, in the caller's transaction; `runworkers` runs them. An instance keeps no connection."""

    # By this, inherited, a class that TASKS names is known to be one of ours.
    keeps_jobs = True
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: AnyTask) -> None:
        """Raise InvalidTask for a task that cannot be a job, and register its function for the workers."""
        super().validate_task(task)
        remember(task)

    def enqueue(
        self, task: AnyTask | JobFunction[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> AnyResult:
        """Store a task and return its result. With a key that is taken: the result of the job that has it.

        Raises InvalidTask, TypeError for what JSON does not know, and what `JobFunction.enqueue` raises.
        """
        # Needs models, and an instance is made for the first @task, before the apps are ready.
        from django_jobs.backend.results import result_of
        from django_jobs.backend.storing import store

        if isinstance(task, JobFunction):
            return result_of(task.enqueue(*args, **kwargs), self.alias)
        self.validate_task(task)
        job, result = store(task, args, kwargs, self.job_options, self.alias)
        if job.created:
            task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> AnyResult:
        """Return the result of this id. Raises TaskResultDoesNotExist."""
        from django_jobs.backend.results import read_result

        result = read_result(result_id, self.alias)
        if result is None:
            raise TaskResultDoesNotExist(result_id)
        return result

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        messages = [*super().check(**kwargs)]
        if not apps.is_installed("django_jobs"):
            said = f"TASKS[{self.alias!r}] keeps its tasks as jobs, but 'django_jobs' is not in INSTALLED_APPS."
            messages.append(error("E014", said, "Add it, and run `manage.py migrate`."))
        return messages
