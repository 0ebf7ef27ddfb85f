"""What a running job may know of itself."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from django_jobs.definitions.arguments import decode_headers
from django_jobs.definitions.outcomes import Claim
from django_jobs.errors import InvalidStep

if TYPE_CHECKING:
    from django_jobs.execution.steps import Steps


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
    _steps: "Steps | None" = field(default=None, repr=False, compare=False)

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts

    @property
    def steps(self) -> "Steps":
        if self._steps is None:
            raise InvalidStep("Only the context of a job that runs has steps.")
        return self._steps

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, atomic: bool = False, **kwargs: Any) -> Any:
        """Call a function once in the life of this job and keep its result; later attempts only return what is kept.

        The result is what JSON makes of it. With `atomic` the function runs in a transaction on the job database, in
        which the step is kept as well. Raises InvalidStep and ClaimLost.
        """
        return self.steps.run(name, partial(function, *args, **kwargs), atomic=atomic)

    async def astep(
        self, name: str, function: Callable[..., Any], /, *args: Any, atomic: bool = False, **kwargs: Any
    ) -> Any:
        """Call a function, `def` or `async def`, once in the life of this job; see `step`."""
        return await self.steps.arun(name, function, partial(function, *args, **kwargs), atomic=atomic)

    def step_key(self, name: str) -> str:
        """Return a text of 36 characters that is the same in every attempt: for services that take idempotency keys."""
        return str(uuid5(self.id, name))


_current: ContextVar[JobContext | None] = ContextVar("django_jobs_current_job", default=None)


def current_job() -> JobContext | None:
    """Return the context of the job that runs here, or None outside of any."""
    return _current.get()


def make_context(claim: Claim, args: list[Any], kwargs: dict[str, Any], steps: "Steps | None" = None) -> JobContext:
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
        _steps=steps,
    )
