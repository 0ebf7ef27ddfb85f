"""What type checkers read of @job: its options as keywords, and what stands for arguments and results.

At run time `options` checks the same, and says in words what is wrong.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ParamSpec, TypedDict

from django_jobs.definitions.deduplication import Deduplicate
from django_jobs.definitions.keeping import Keep
from django_jobs.definitions.metadata import Fact
from django_jobs.definitions.retries import Backoff, BackoffFunction

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Returned = TypeVar("Returned")
    # What the job comes to: of an `async def` what is awaited, of a batch what stands for one item.
    Result = TypeVar("Result", default=Returned)
else:
    # Defaults of TypeVars came with Python 3.13.
    from typing import TypeVar

    Returned, Result = TypeVar("Returned"), TypeVar("Result")

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

Duration = timedelta | float
Moment = datetime | timedelta | float
ErrorClasses = type[BaseException] | Iterable[type[BaseException]]


class CommonKeywords(TypedDict, total=False):
    """What a decorator and a call say in the same way."""

    queue_name: str | None
    priority: int | None
    lifo: bool | None
    run_after: Moment | None
    expires: Moment | None
    max_attempts: int | None
    timeout: Duration | None
    max_stalls: int | None
    max_starts: int | None
    max_payload_bytes: int | None
    idempotency_ttl: Duration | None
    keep: Keep | Duration | Mapping[str, Keep | Duration | None] | None
    metadata: Mapping[str, Fact] | None
    deduplicate: Deduplicate | None


class CallKeywords(CommonKeywords, total=False):
    """What `.using()` takes."""

    backoff: Backoff | None
    idempotency_key: str | None


class DecoratorKeywords(CommonKeywords, total=False):
    """What `@job` takes beside its parameters; here callables may decide."""

    backoff: Backoff | BackoffFunction | None
    idempotency_key: str | Callable[..., str] | None
    retry_on: ErrorClasses | None
    no_retry_on: ErrorClasses | None
