"""What a running job may know of itself."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django_jobs import clock
from django_jobs.definitions.arguments import decode_headers
from django_jobs.definitions.outcomes import Claim
from django_jobs.errors import CancelJob
from django_jobs.execution.cancelling import Key, reason_of


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The attempt that runs: first argument of a job that takes_context, and what `current_job()` returns."""

    id: UUID
    name: str
    queue_name: str
    # Counted from 1; a snooze or a death of the worker does not count.
    attempt: int
    max_attempts: int
    # How often a body of this job was started, whatever came of it.
    starts: int
    enqueued_at: datetime
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    # What middleware sent along when the job was enqueued.
    headers: dict[str, Any] = field(default_factory=dict)
    # When the time of the body is up, by this host's clock; None: never.
    deadline: datetime | None = None
    _key: Key | None = field(default=None, repr=False, compare=False)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel this job. Costs nothing: the worker asks the database once a second."""
        return reason_of(self._key) is not None

    def raise_if_cancelled(self) -> None:
        """End the job as cancelled if somebody asked for that."""
        reason = reason_of(self._key)
        if reason is not None:
            raise CancelJob(reason)

    @property
    def attempts(self) -> int:
        """How many attempts there have been with this one: what Django's TaskResult calls it."""
        return self.attempt

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts


_current: ContextVar[JobContext | None] = ContextVar("django_jobs_current_job", default=None)


def current_job() -> JobContext | None:
    """Return the context of the job that runs here, or None outside of any."""
    return _current.get()


def make_context(claim: Claim, args: list[Any], kwargs: dict[str, Any]) -> JobContext:
    """Return the context of a claimed attempt."""
    return JobContext(
        id=claim.id,
        name=claim.name,
        queue_name=claim.queue_name,
        attempt=claim.attempt,
        max_attempts=claim.max_attempts,
        starts=claim.starts,
        enqueued_at=datetime.fromtimestamp(claim.enqueued, UTC),
        args=args,
        kwargs=kwargs,
        headers=decode_headers(claim.headers),
        deadline=None if claim.timeout is None else clock.now() + timedelta(seconds=claim.timeout),
        _key=(claim.id, claim.fence),
    )
