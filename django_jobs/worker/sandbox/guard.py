"""The guard of one body in a sandbox: sees when its time is up, when it is not wanted any more, and what it holds."""

import math
import signal
from dataclasses import replace
from enum import Enum
from uuid import UUID

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Failed, GivenBack, Outcome, Retried, Stopped, Succeeded
from django_jobs.definitions.sandbox import Limits
from django_jobs.errors import JobTimeout, MemoryLimitExceeded, SandboxDied
from django_jobs.execution.cancelling import reason_of
from django_jobs.execution.execute import outcome_of
from django_jobs.execution.timeouts import message
from django_jobs.worker.interpreters import cause_of_end
from django_jobs.worker.sandbox.memory import HAS_PROC, MEGABYTE

# Who waits for a body looks at its guard this often; with a limit on memory more often, for that fills fast.
LOOK_SECONDS = 0.25
MEMORY_LOOK_SECONDS = 0.05 if HAS_PROC else LOOK_SECONDS


class Why(Enum):
    """Why a body is to end."""

    LATE = "its time is up"
    CANCELLED = "somebody asked to cancel it"
    TOO_LARGE = "it holds too much memory"
    STOPPED = "the worker ends"


class Guard:
    """Decides by which signal a body is to end, and what the attempt came to if one had to be sent.

    The gentle means comes first, and is not a signal: JobTimeout inside of the body, or `context.cancel_requested`.
    After the grace comes SIGTERM, after another SIGKILL.
    """

    def __init__(self, claim: Claim, limits: Limits) -> None:
        self._claim, self._limits = claim, limits
        self._deadline = math.inf if claim.timeout is None else clock.monotonic() + claim.timeout
        self._why: Why | None = None
        self._harder_at = math.inf
        self._sent: signal.Signals | None = None

    @property
    def job(self) -> UUID:
        return self._claim.id

    @property
    def rest(self) -> float:
        """Seconds until the next look."""
        return LOOK_SECONDS if self._limits.memory_megabytes is None else MEMORY_LOOK_SECONDS

    @property
    def has_limit(self) -> bool:
        return self._limits.memory_megabytes is not None

    @property
    def has_struck(self) -> bool:
        """Whether a signal was sent: what it has interrupted there, nobody knows."""
        return self._sent is not None

    def cancel(self) -> str | None:
        """Return, once, the reason for which somebody asked to cancel this body."""
        reason = reason_of((self._claim.id, self._claim.fence))
        if reason is None or self._why is not None:
            return None
        self._end(Why.CANCELLED, self._limits.grace_seconds)
        return reason

    def stop(self) -> None:
        """The worker waits no longer: be hard now."""
        if self._sent is None:
            self._end(self._why or Why.STOPPED, 0.0)

    def signal(self, resident: int) -> signal.Signals | None:
        """Return the signal that is to be sent now to a process that holds so many bytes."""
        limit = self._limits.memory_megabytes
        if limit is not None and resident > limit * MEGABYTE:
            self._why, self._harder_at, self._sent = Why.TOO_LARGE, math.inf, signal.SIGKILL
            return self._sent
        now = clock.monotonic()
        if self._why is None and now >= self._deadline:
            self._end(Why.LATE, self._limits.grace_seconds)
        if now < self._harder_at:
            return None
        if self._sent is None:
            self._sent, self._harder_at = signal.SIGTERM, now + self._limits.grace_seconds
        else:
            self._sent, self._harder_at = signal.SIGKILL, math.inf
        return self._sent

    def judge(self, reported: Outcome | None, status: int | None) -> Outcome:
        """Return what the attempt came to: what its sandbox reported, or why that had to end, or how it died."""
        if reported is not None and (self._sent is None or isinstance(reported, Succeeded)):
            return reported
        if self._sent is None or self._why is None:
            return outcome_of(self._claim, SandboxDied(_death(status)))
        match self._why:
            case Why.STOPPED:
                return GivenBack(begun=True)
            case Why.CANCELLED:
                return Stopped(reason_of((self._claim.id, self._claim.fence)) or "")
            case Why.TOO_LARGE:
                error = MemoryLimitExceeded(f"It held more than its {self._limits.memory_megabytes} MiB of memory.")
                return outcome_of(self._claim, error)
            case Why.LATE:
                late = JobTimeout(f"{message(self._claim)} It was ended by {self._sent.name}.")
                return _with_traceback_of(reported, outcome_of(self._claim, late))

    def _end(self, why: Why, seconds: float) -> None:
        self._why, self._harder_at = why, clock.monotonic() + seconds


def _with_traceback_of(reported: Outcome | None, outcome: Outcome) -> Outcome:
    """Where the body was when the signal struck it, tells more than an exception that was never raised."""
    if isinstance(reported, Failed | Retried) and isinstance(outcome, Failed | Retried):
        return replace(outcome, error=replace(outcome.error, traceback=reported.error.traceback))
    return outcome


def _death(status: int | None) -> str:
    if status is None:
        return "The process of this job could not be heard any more, and was killed."
    text = f"The process of this job ended under it: {cause_of_end(status)}."
    if status == -signal.SIGKILL:
        text += " This worker did not send that signal: perhaps the system had no memory left."
    return text
