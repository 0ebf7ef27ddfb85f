"""A claim is the right to run one attempt; an outcome is what that attempt came to.

Those that every job makes are not frozen, for that takes three times as long; all the same nobody changes them.
"""

from dataclasses import dataclass, field
from uuid import UUID

from django_jobs.states import State


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Claim:
    """The right of `owner` to run one attempt of one job, as long as the row still carries this fence."""

    id: UUID
    name: str
    queue_name: str
    rank: int
    fence: int
    attempt: int
    starts: int
    max_attempts: int
    owner: UUID
    arguments: str
    headers: str = ""
    backoff: str
    # Seconds since 1970, by the database's clock.
    enqueued: float
    # This host's monotonic time from which on the body must not begin any more; None: it may begin at any time.
    expires: float | None = None
    # Seconds that the body may take; None: any number.
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """What is kept of an exception: texts that any database takes. `exception` lives only in the worker's memory."""

    class_path: str
    message: str
    traceback: str
    exception: BaseException | None = field(default=None, compare=False, repr=False)

    @property
    def summary(self) -> str:
        """One line: the class's own name and the message."""
        name = self.class_path.rpartition(".")[2]
        line = self.message.strip().partition("\n")[0]
        return (f"{name}: {line}" if line else name)[:500]


@dataclass(slots=True, unsafe_hash=True)
class Written:
    """A row as it is after its attempt was written down."""

    id: UUID
    state: State
    queue_name: str
    rank: int
    # The deduplication key that it has given back.
    given_back: bytes | None = None


@dataclass(slots=True, unsafe_hash=True)
class Succeeded:
    """The body returned; `result` is JSON text, None for None. `row`: written already, together with the body."""

    result: str | None = None
    row: Written | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ends as failed."""

    error: ErrorReport


@dataclass(frozen=True, slots=True)
class Retried:
    """The attempt failed, another follows after `delay` seconds."""

    error: ErrorReport
    delay: float


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The body asked to be run again after `delay` seconds; the attempt does not count."""

    delay: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The body ended its job as cancelled."""

    reason: str


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The attempt is handed back and does not count. `begun`: its body had started."""

    begun: bool = False


Outcome = Succeeded | Failed | Retried | Snoozed | Stopped | GivenBack


@dataclass(slots=True, unsafe_hash=True)
class Ended:
    """An attempt that is over: who may write it down, what it came to, when its body ran (worker's monotonic time)."""

    claim: Claim
    outcome: Outcome
    started: float = 0.0
    finished: float = 0.0
