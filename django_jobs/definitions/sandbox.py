"""The sandbox: what a job may ask of the process that runs it alone."""

from dataclasses import dataclass
from datetime import timedelta

from django_jobs.conf import JobsSettings
from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Run a job in a process of its own. What is left out is as the settings SANDBOX_... say.

    `memory_megabytes`: a process that holds more memory is ended, and with it the attempt. `max_jobs`: a process that
    has run so many jobs runs no other; 1 is a fresh one for each. `grace_seconds` (or a timedelta): how long a body
    whose time is up, or that was asked to stop, has until SIGTERM, and then again until SIGKILL. Raises InvalidOption.
    """

    memory_megabytes: int | None = None
    max_jobs: int | None = None
    grace_seconds: float | timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("memory_megabytes", "max_jobs"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidOption(f"The {name} of Sandbox must be a whole number from 1 on, not {value!r}.")
        if self.grace_seconds is not None:
            grace = seconds(self.grace_seconds, option="The grace_seconds of Sandbox")
            object.__setattr__(self, "grace_seconds", grace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for one job: what it said, and for the rest what the settings say."""

    memory_megabytes: int | None
    max_jobs: int
    grace_seconds: float


def read_sandbox(value: object, what: str) -> Sandbox | None:
    """Return what `@job(sandbox=...)` asks for; None: the job runs in the worker. Raises InvalidOption."""
    if isinstance(value, Sandbox):
        return value
    if not isinstance(value, bool):
        raise InvalidOption(f"{what} must be True, False or Sandbox(...), not {value!r}.")
    return Sandbox() if value else None


def limits_of(sandbox: Sandbox, settings: JobsSettings) -> Limits:
    """Return what holds for a job."""
    memory, grace = sandbox.memory_megabytes, sandbox.grace_seconds
    return Limits(
        memory_megabytes=settings.SANDBOX_MEMORY_MEGABYTES if memory is None else memory,
        max_jobs=sandbox.max_jobs or settings.SANDBOX_MAX_JOBS,
        grace_seconds=settings.SANDBOX_GRACE_SECONDS if grace is None else seconds(grace, option="grace_seconds"),
    )
