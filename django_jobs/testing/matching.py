"""How near a stored job comes to a call as it would be enqueued."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django_jobs.backend.tasks import options_of
from django_jobs.compat import AnyTask, Task
from django_jobs.decorators import JobFunction
from django_jobs.definitions.arguments import decode_call, encode_value, shown
from django_jobs.definitions.options import OPTION_NAMES, UNSET, JobOptions
from django_jobs.definitions.redaction import HIDDEN, shown_call
from django_jobs.definitions.registry import JobSpec, find_spec, get_spec
from django_jobs.definitions.retries import to_text
from django_jobs.errors import InvalidArguments, InvalidOption
from django_jobs.models import Job
from django_jobs.testing.clocks import TICK

Target = JobFunction[..., Any] | AnyTask

# What a row tells of the options that were said; the others leave no trace that could be compared.
_TOLD: dict[str, Callable[[Job], Any]] = {
    "queue_name": lambda job: job.queue_name,
    "priority": lambda job: job.priority,
    "lifo": lambda job: job.lifo,
    "run_after": lambda job: job.run_after,
    "expires": lambda job: job.expires_at,
    "max_attempts": lambda job: job.max_attempts,
    "backoff": lambda job: job.backoff,
    "timeout": lambda job: job.timeout,
    "max_stalls": lambda job: job.max_stalls,
    "max_starts": lambda job: job.max_starts,
    "idempotency_key": lambda job: job.idempotency_key,
    "metadata": lambda job: job.metadata,
}
_OF_TASKS = ("queue_name", "priority", "run_after")


class Wanted:
    """A job as it should have been enqueued: the function, what its `.using()` says, and the call if any was given."""

    def __init__(self, target: Target, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.spec, options = _said(target)
        self._options = {name: value for name in OPTION_NAMES if (value := getattr(options, name)) is not UNSET}
        self._call: dict[str, Any] | None = None
        if unknown := self._options.keys() - _TOLD.keys():
            raise InvalidOption(
                f"{self.spec.name}: no row tells {', '.join(sorted(unknown))} as it was said, so it cannot be asserted."
            )
        if args or kwargs:
            try:
                self._call = _arguments(self.spec, args, kwargs)
            except TypeError as error:
                raise InvalidArguments(
                    f"{self.spec.name}{self.spec.signature} cannot be called like this: {error}."
                ) from None
        self._args, self._kwargs = args, kwargs

    def __str__(self) -> str:
        args, kwargs = shown_call(self.spec.name, self._args, dict(self._kwargs))
        call = f"({_listed(args, kwargs)})" if self._call is not None else ""
        options = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"{self.spec.name}{call}{' with ' if options else ''}{options}"

    def is_of(self, job: Job) -> bool:
        """Tell whether the job is one of this function."""
        return job.name in (self.spec.name, *self.spec.aliases)

    def differences(self, job: Job) -> list[str]:
        """Tell how a job of this function differs."""
        return [*self._differing_arguments(job), *self._differing_options(job)]

    def _differing_arguments(self, job: Job) -> list[str]:
        if self._call is None:
            return []
        try:
            stored = _arguments(self.spec, *decode_call(job.arguments))
        except TypeError as error:
            return [f"its arguments do not fit ({error})"]
        # A matcher such as mock.ANY is on the side that is asked.
        names = [name for name, value in self._call.items() if value != stored[name]]
        return [self._difference(name, stored[name], self._call[name]) for name in names]

    def _difference(self, name: str, stored: Any, wanted: Any) -> str:
        if name in self.spec.sensitive:
            return f"{name} is another, {HIDDEN}"
        return f"{name} is {shown(stored)}, not {shown(wanted)}"

    def _differing_options(self, job: Job) -> list[str]:
        told = []
        for name, said in self._options.items():
            stored, wanted = _TOLD[name](job), _as_stored(name, said, job)
            if not _is_same(stored, wanted):
                told.append(f"{name} is {_words(stored)}, not {_words(wanted)}")
        return told


def shown_job(job: Job) -> str:
    """Return a job for a message: its call, without what is sensitive, and where it stands."""
    call = _listed(*shown_call(job.name, *decode_call(job.arguments)))
    due = f", due at {job.run_after.isoformat()}" if job.run_after > job.enqueued_at + TICK else ""
    priority = f", priority {job.priority}" if job.priority else ""
    return f"{job.name}({call}) on {job.queue_name!r}, {job.state}{priority}{due}"


def _said(target: Target) -> tuple[JobSpec, JobOptions]:
    """Return the job of a function or task, and the options to be compared."""
    if isinstance(target, JobFunction):
        return target.spec, target.options
    if isinstance(target, Task):
        spec = find_spec(target.module_path) or get_spec(target.module_path)
        options = options_of(target)
        return spec, JobOptions(**{name: getattr(options, name) for name in _OF_TASKS})
    raise InvalidOption(f"{target!r} is neither a @job nor a @task: give the decorated function itself.")


def _arguments(spec: JobSpec, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments by the names of the parameters, defaults among them, as JSON makes them."""
    bound = spec.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return {name: _plain(value) for name, value in bound.arguments.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    try:
        (plain,), _ = decode_call(f"[[{encode_value(value, 'value', limit=2**62, advice='')}],{{}}]")
    except InvalidArguments:
        return value  # no argument, but something that compares itself with one
    return plain


def _as_stored(name: str, said: Any, job: Job) -> Any:
    """Return an option as the row of this job would have it."""
    if name in ("run_after", "expires") and isinstance(said, float):
        return job.enqueued_at + timedelta(seconds=said)
    if name == "backoff":
        return to_text(said)
    return dict(said) if name == "metadata" else said


def _is_same(stored: Any, wanted: Any) -> bool:
    if isinstance(stored, datetime) and isinstance(wanted, datetime):
        return abs(stored - wanted) < TICK
    return bool(stored == wanted)


def _words(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else shown(value)


def _listed(args: Any, kwargs: Mapping[str, Any]) -> str:
    return ", ".join([*map(shown, args), *(f"{name}={shown(value)}" for name, value in kwargs.items())])
