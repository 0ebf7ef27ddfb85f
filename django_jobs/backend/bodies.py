"""What a worker runs for a task: its function, between the two signals of Django, under the name of its dotted path.

Each task registers when it is made, as each @job does, so a worker knows it once its module is imported. Nothing is
ever imported because a row names it.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from importlib import import_module
from typing import Any
from weakref import WeakSet

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.apps import apps
from django.utils.module_loading import autodiscover_modules

from django_jobs.compat import AnyTask, InvalidTask, Task, TaskContext, normalize_json
from django_jobs.definitions.declaring import make_spec
from django_jobs.definitions.registry import JobSpec, find_spec, register
from django_jobs.errors import InvalidArguments
from django_jobs.execution.context import JobContext

MODULE = "tasks"
# Dotted path -> the task as it was declared, before any .using().
_declared: dict[str, AnyTask] = {}
# What tells a job that is a task from one of @job.
_bodies: WeakSet[Callable[..., Any]] = WeakSet()


def discover() -> None:
    """Import the `tasks` modules of all apps, and register also what other backends have declared there.

    Such a task comes here by `.using(backend=...)`, which a worker never sees.
    """
    # Needs models, and this module is imported with the first @task, before the apps are ready.
    import_module("django_jobs.backend.announcing")
    autodiscover_modules(MODULE)
    for config in apps.get_app_configs():
        module = sys.modules.get(f"{config.name}.{MODULE}")
        for value in list(vars(module).values()) if module else ():
            if isinstance(value, Task):
                remember(value)


def declared(name: str) -> AnyTask | None:
    """Return the task of this dotted path as it was declared, or None."""
    return _declared.get(name)


def remember(task: AnyTask, said: Mapping[str, Any] | None = None) -> JobSpec:
    """Register a task, once; `said` is what its decorator says beyond Django. Raises InvalidTask, InvalidOption."""
    name = task.module_path
    known, registered = _declared.get(name), find_spec(name)
    if registered is not None:
        if registered.function not in _bodies:
            raise InvalidTask(f"{name} is a @job already. Enqueue that one, or give the @job a name=.")
        if said is None and known is not None and _is_copy(task, known):
            return registered
    spec = _make_spec(task, said or {})
    register(spec)
    _bodies.add(spec.function)
    _declared[name] = task
    return spec


def _is_copy(task: AnyTask, known: AnyTask) -> bool:
    """Tell whether a task only differs from the declared one by what .using() changes."""
    return task.func is known.func and type(task) is type(known) and task.takes_context == known.takes_context


def _make_spec(task: AnyTask, said: Mapping[str, Any]) -> JobSpec:
    options = {**said, "queue_name": task.queue_name}
    own: dict[str, Any] = {"sensitive": (), "atomic": False}
    own |= {name: options.pop(name) for name in ("sensitive", "atomic", "aliases", "sandbox") if name in options}
    spec = make_spec(task.func, task.takes_context, None, **own, options=options)
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in spec.signature.parameters.values()]
    return replace(
        spec,
        function=_body(task.func, task.takes_context),
        takes_context=True,
        # Without annotations: a task gets what JSON makes of its arguments, as from every other backend.
        signature=spec.signature.replace(parameters=parameters),
        # A result that JSON does not know would be none in any other attempt either.
        no_retry_on=(*spec.no_retry_on, InvalidArguments),
    )


def _body(function: Callable[..., Any], takes_context: bool) -> Callable[..., Any]:
    """Return the body of the job."""
    if iscoroutinefunction(function):

        @wraps(function)
        async def abody(context: JobContext, *args: Any, **kwargs: Any) -> Any:
            leading = await sync_to_async(_begin)(context, takes_context)
            return _normalized(await function(*leading, *args, **kwargs))

        return abody

    @wraps(function)
    def body(context: JobContext, *args: Any, **kwargs: Any) -> Any:
        return _normalized(function(*_begin(context, takes_context), *args, **kwargs))

    return body


def _begin(context: JobContext, takes_context: bool) -> tuple[Any, ...]:
    """Tell Django that the task starts; return what its function gets before its arguments."""
    # Needs models, and tasks are declared before the apps are ready.
    from django_jobs.backend.announcing import announce_start

    task_result = announce_start(context)
    return (TaskContext(task_result=task_result),) if takes_context else ()


def _normalized(value: object) -> object:
    try:
        return normalize_json(value)
    except (TypeError, ValueError) as error:
        raise InvalidArguments(f"The result cannot be kept. {error}") from error
