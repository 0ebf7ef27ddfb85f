"""The setting DJANGO_JOBS: one frozen dataclass of defaults, read late, read anew when a test overrides it."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from django_jobs.errors import ConfigurationError

SETTING = "DJANGO_JOBS"
# In the settings of a connection: it is a worker's own, and no code but its own uses it.
OWN_CONNECTION = "DJANGO_JOBS_OWN"
# A thousand years: no database can add more to a date and stay in its calendar.
LONGEST_SECONDS = 1000 * 366 * 24 * 3600
# What the aliases of django.tasks that belong to us say.
BACKEND = "django_jobs.backend.JobsBackend"

# Planned, so that a reader of the docs is told "not yet" instead of "no such setting".
NOT_AVAILABLE_YET: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobsSettings:
    """What DJANGO_JOBS may hold, with the defaults. Times are in seconds, sizes in bytes."""

    # Who rings: "database:", "redis://...", "rediss://..." (TLS), "unix://...", "redis+sentinel://...",
    # "redis+cluster://...", "cache:<alias of django-redis>", "embedded:" or "memory:".
    TRANSPORT: str = "database:"
    # First part of every key in Redis; projects that share a server need different ones.
    PREFIX: str = "django_jobs"
    # The alias of the database that holds the jobs.
    DATABASE: str = "default"
    # Queue name -> options of its jobs, for example {"mail": {"MAX_ATTEMPTS": 5}}. "AGEING": seconds or a timedelta,
    # after which a job that is due rises by one priority, and by one more each time as much has passed.
    QUEUES: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Attempts of a job that says nothing else.
    MAX_ATTEMPTS: int = 1
    # Seconds that the body of a job may take, which says nothing else; None: any number.
    TIMEOUT: float | None = None
    # How often a worker may die under a job before the job is failed.
    MAX_STALLS: int = 3
    # How long the rows of jobs that have ended are kept: seconds, a timedelta, Keep(age=..., count=...), or None for
    # ever. Cancelled jobs are kept like successful ones.
    KEEP: Mapping[str, Any] = field(
        default_factory=lambda: {"successful": timedelta(days=7), "failed": timedelta(days=90)}
    )
    # Largest arguments of a job, as JSON in UTF-8.
    MAX_PAYLOAD_BYTES: int = 256 * 1024
    # Largest result that is kept, as JSON in UTF-8.
    MAX_RESULT_BYTES: int = 256 * 1024
    # Largest traceback that is kept of an attempt, in UTF-8; of a longer one the middle is cut.
    MAX_TRACEBACK_BYTES: int = 64 * 1024
    # Largest data that `context.save()` takes, as JSON in UTF-8.
    MAX_DATA_BYTES: int = 64 * 1024
    # How much of a job's log is kept, over all its attempts: the newest lines, as many and as many bytes.
    MAX_LOG_LINES: int = 1000
    MAX_LOG_BYTES: int = 64 * 1024
    # Whether the same idempotency key with other arguments is an error, or gives the stored row back all the same.
    IDEMPOTENCY_CHECKS_ARGUMENTS: bool = True
    # Whether code gets a TransportError when its transaction has committed and its jobs could not be rung. They are
    # stored all the same, and start when a worker comes across them in the table. Without it a line is logged, once.
    RAISE_TRANSPORT_ERRORS: bool = False
    # Dotted paths of classes that surround enqueue and execution, the outermost first.
    MIDDLEWARE: Sequence[str] = ()
    # How often a worker says that it is alive, and after how long silence others take its jobs.
    HEARTBEAT_SECONDS: float = 5.0
    DEAD_AFTER_SECONDS: float = 30.0
    # How long a stopping worker lets running jobs finish before it hands them back.
    GRACE_SECONDS: float = 30.0
    # Of a job in a sandbox that says nothing else: how much memory its process may hold (in MiB; None: any), and how
    # many jobs a process runs before another takes its place.
    SANDBOX_MEMORY_MEGABYTES: int | None = None
    SANDBOX_MAX_JOBS: int = 1000
    # How long a sandboxed body that ran out of time, or was asked to stop, has until SIGTERM, and then until SIGKILL.
    SANDBOX_GRACE_SECONDS: float = 5.0
    # How old the process of a sandbox becomes.
    SANDBOX_MAX_SECONDS: float = 3600.0


_SANDBOX_SECONDS = ("SANDBOX_GRACE_SECONDS", "SANDBOX_MAX_SECONDS")

_LEAST = {
    "MAX_ATTEMPTS": 1,
    "MAX_STALLS": 0,
    "MAX_PAYLOAD_BYTES": 2,
    "MAX_RESULT_BYTES": 2,
    "MAX_DATA_BYTES": 2,
    "MAX_LOG_LINES": 1,
    "MAX_LOG_BYTES": 1000,
    "SANDBOX_MAX_JOBS": 1,
}

_current: JobsSettings | None = None


def get_settings() -> JobsSettings:
    """Return the settings in force. Raises ConfigurationError, naming the key and what to write instead."""
    global _current
    if _current is None:
        _current = _read(getattr(settings, SETTING, {}))
    return _current


def task_aliases() -> dict[str, Mapping[str, Any]]:
    """Return what TASKS says of the aliases whose backend is JobsBackend or a class of its kind."""
    tasks = getattr(settings, "TASKS", {})
    return {alias: said for alias, said in tasks.items() if _keeps_jobs(said.get("BACKEND"))}


def task_alias() -> str:
    """Return the first of these aliases: for jobs that no task has made, or whose own alias is gone."""
    return next(iter(task_aliases()), "default")


def _keeps_jobs(backend: object) -> bool:
    if backend == BACKEND:
        return True
    try:
        # Nobody's, or one that cannot be imported: Django tells of that when it is used.
        return bool(getattr(import_string(str(backend)), "keeps_jobs", False))
    except ImportError:
        return False


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ' Did you mean ...?' for a close match in whatever case, or an empty string."""
    spelled = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), spelled, n=1)
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""


def _read(values: object) -> JobsSettings:
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{SETTING} must be a dict, not {values!r}.")
    known = {each.name for each in fields(JobsSettings)}
    for key in values:
        if key in NOT_AVAILABLE_YET:
            raise ConfigurationError(f"{SETTING}[{key!r}] is not available yet. Remove it for now.")
        if key not in known:
            raise ConfigurationError(f"{SETTING} has no setting {key!r}.{did_you_mean(str(key), known)}")
    result = JobsSettings(**values)
    _validate(result)
    return result


def _validate(result: JobsSettings) -> None:
    for name in ("TRANSPORT", "PREFIX", "DATABASE"):
        value = getattr(result, name)
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{SETTING}[{name!r}] must be a non-empty text, not {value!r}.")
    if result.PREFIX.startswith("}"):
        raise ConfigurationError(
            f"{SETTING}['PREFIX'] is {result.PREFIX!r}, but must not start with a closing brace: all keys begin with "
            "it in braces, which keeps them on one node of a Redis Cluster."
        )
    _validate_times(result)
    _validate_sizes(result)
    for name in ("IDEMPOTENCY_CHECKS_ARGUMENTS", "RAISE_TRANSPORT_ERRORS"):
        if not isinstance(getattr(result, name), bool):
            raise ConfigurationError(f"{SETTING}[{name!r}] must be True or False, not {getattr(result, name)!r}.")
    if isinstance(result.MIDDLEWARE, str) or not all(isinstance(each, str) for each in result.MIDDLEWARE):
        raise ConfigurationError(f"{SETTING}['MIDDLEWARE'] must be a list of dotted paths, not {result.MIDDLEWARE!r}.")
    if not isinstance(result.QUEUES, Mapping) or not all(
        isinstance(name, str) and isinstance(options, Mapping) for name, options in result.QUEUES.items()
    ):
        raise ConfigurationError(f"{SETTING}['QUEUES'] must map queue names to dicts, not {result.QUEUES!r}.")


def _validate_times(result: JobsSettings) -> None:
    for name in ("HEARTBEAT_SECONDS", "DEAD_AFTER_SECONDS", "GRACE_SECONDS", "TIMEOUT", *_SANDBOX_SECONDS):
        value = getattr(result, name)
        # The others are refused below, each with what it may be.
        if isinstance(value, int | float) and not (math.isfinite(value) and value <= LONGEST_SECONDS):
            raise ConfigurationError(f"{SETTING}[{name!r}] must be at most 1,000 years, in seconds, not {value!r}.")
    for name in ("HEARTBEAT_SECONDS", "DEAD_AFTER_SECONDS", "SANDBOX_MAX_SECONDS"):
        value = getattr(result, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigurationError(f"{SETTING}[{name!r}] must be a number of seconds above 0, not {value!r}.")
    for name in ("GRACE_SECONDS", "SANDBOX_GRACE_SECONDS"):
        value = getattr(result, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigurationError(f"{SETTING}[{name!r}] must be a number of seconds, not {value!r}.")
    timeout = result.TIMEOUT
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
        raise ConfigurationError(f"{SETTING}['TIMEOUT'] must be a number of seconds above 0 or None, not {timeout!r}.")
    if result.DEAD_AFTER_SECONDS < 2 * result.HEARTBEAT_SECONDS:
        raise ConfigurationError(
            f"{SETTING}['DEAD_AFTER_SECONDS'] is {result.DEAD_AFTER_SECONDS!r} but must be at least twice "
            f"HEARTBEAT_SECONDS, which is {result.HEARTBEAT_SECONDS!r}."
        )


def _validate_sizes(result: JobsSettings) -> None:
    memory = result.SANDBOX_MEMORY_MEGABYTES
    if memory is not None and (isinstance(memory, bool) or not isinstance(memory, int) or memory < 1):
        raise ConfigurationError(
            f"{SETTING}['SANDBOX_MEMORY_MEGABYTES'] must be a whole number from 1 on or None, not {memory!r}."
        )
    for name, least in _LEAST.items():
        value = getattr(result, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigurationError(f"{SETTING}[{name!r}] must be a whole number from {least} on, not {value!r}.")
    size = result.MAX_TRACEBACK_BYTES
    # Twenty of them go into one statement, and MySQL takes none above 16 MB unless told otherwise.
    if isinstance(size, bool) or not isinstance(size, int) or not 1024 <= size <= 256 * 1024:
        raise ConfigurationError(
            f"{SETTING}['MAX_TRACEBACK_BYTES'] must be a whole number from 1024 to 262144, not {size!r}."
        )


def _forget(*, setting: str, **kwargs: object) -> None:
    global _current
    if setting == SETTING:
        _current = None


setting_changed.connect(_forget, dispatch_uid="django_jobs.conf")
