"""What may run: the functions that @job registered, by name. Nothing is ever imported because data names it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django_jobs.conf import did_you_mean, get_settings, task_aliases
from django_jobs.definitions.batches import Batch
from django_jobs.definitions.options import JobOptions
from django_jobs.definitions.retries import BackoffFunction
from django_jobs.definitions.sandbox import Sandbox
from django_jobs.errors import DuplicateJobName, InvalidOption, UnknownJob

DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobSpec:
    """A job as its decorator declared it."""

    name: str
    function: Callable[..., Any]
    options: JobOptions
    signature: inspect.Signature
    # Names that it had before: rows may still carry them.
    aliases: tuple[str, ...] = ()
    takes_context: bool = False
    is_async: bool = False
    # Body and success are one transaction on the job database.
    is_atomic: bool = False
    # One body runs for so many jobs; None: each has its own.
    batch: Batch | None = None
    # The process that runs it alone; None: it runs in the worker, beside others.
    sandbox: Sandbox | None = None
    backoff_function: BackoffFunction | None = None
    key_function: Callable[..., str] | None = None
    # Which errors are tried again; None: all but those of `no_retry_on`, which goes first.
    retry_on: tuple[type[BaseException], ...] | None = None
    no_retry_on: tuple[type[BaseException], ...] = ()
    deduplication_key_function: Callable[..., str] | None = None
    # Parameters whose values pages, commands and messages hide; "return" hides the result.
    sensitive: frozenset[str] = frozenset()

    def may_retry(self, error: BaseException) -> bool:
        """Tell whether an attempt that raised this may be followed by another."""
        if isinstance(error, self.no_retry_on):
            return False
        return self.retry_on is None or isinstance(error, self.retry_on)

    @property
    def path(self) -> str:
        """Return where the function was defined."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


_specs: dict[str, JobSpec] = {}
# Job name -> path of a function that came after another of the same path, which no import can find any more.
_replaced: dict[str, str] = {}


def register(spec: JobSpec) -> None:
    """Make a job known by its name and its aliases. Raises DuplicateJobName when another function has one of them."""
    for name in (spec.name, *spec.aliases):
        known = _specs.get(name)
        if known is not None and known.path != spec.path:
            raise DuplicateJobName(
                f"The job name {name!r} of {spec.path} is already taken by {known.path}. "
                f"{'Take it out of the aliases.' if name != spec.name else 'Give one of them @job(name=...).'}"
            )
    if spec.name in _specs and _is_another(_specs[spec.name].function, spec.function):
        _replaced[spec.name] = spec.path
    _specs.update(dict.fromkeys((spec.name, *spec.aliases), spec))


def replaced() -> dict[str, str]:
    """Return the names of jobs that two functions of one path have, each with the path."""
    return dict(_replaced)


def get_spec(name: str) -> JobSpec:
    """Return the job of this name. Raises UnknownJob."""
    try:
        return _specs[name]
    except KeyError:
        raise UnknownJob(
            f"No job named {name!r} is registered.{did_you_mean(name, _specs)} Is its app in INSTALLED_APPS, and is "
            "the function in the app's jobs module, or in one that is imported from there?"
        ) from None


def find_spec(name: str) -> JobSpec | None:
    """Return the job of this name, or None: a row may name what only others know."""
    return _specs.get(name)


def job_names() -> list[str]:
    """Return the names of all registered jobs, sorted; those that they had before as well."""
    return sorted(_specs)


def any_sandboxed() -> bool:
    """Tell whether any registered job runs in a sandbox."""
    return any(spec.sandbox is not None for spec in _specs.values())


def queue_names() -> list[str]:
    """Return every queue that the settings, TASKS among them, or a job declare, sorted."""
    declared = {spec.options.queue_name for spec in _specs.values() if isinstance(spec.options.queue_name, str)}
    of_tasks = {str(name) for said in task_aliases().values() for name in said.get("QUEUES", ())}
    return sorted({DEFAULT_QUEUE, *get_settings().QUEUES, *of_tasks, *declared})


def check_queue_name(name: str) -> None:
    """Raise InvalidOption for a queue that neither the settings nor any job declares: no worker would look there."""
    known = queue_names()
    if name not in known:
        raise InvalidOption(
            f"No queue is called {name!r}.{did_you_mean(name, known)} Known are: {', '.join(known)}. "
            "Declare it in DJANGO_JOBS['QUEUES'] or on a @job."
        )


def _is_another(former: Callable[..., Any], latter: Callable[..., Any]) -> bool:
    """Tell whether a function is not just the former one in a module that was loaded again."""
    one, other = _innermost(former), _innermost(latter)
    if one is other:
        return False
    # A second function of the module; or the same lines again, run twice, as in a loop.
    return one.__code__.co_firstlineno != other.__code__.co_firstlineno or one.__code__ is other.__code__


def _innermost(function: Callable[..., Any]) -> Any:
    """Return the function under its decorators, as far as these are functions."""
    return inspect.unwrap(function, stop=lambda each: not inspect.isfunction(each.__wrapped__))  # type: ignore[attr-defined]
