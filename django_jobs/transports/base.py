"""The contract of a transport, and the values that pass through it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID


@dataclass(slots=True, unsafe_hash=True)
class Bell:
    """One job that may start: which, in which queue, at which rank. Not frozen, for that takes three times as long."""

    id: UUID
    queue_name: str
    rank: int
    group: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a take handed out: ids in the order they shall start, and the seconds until more can be due.

    `rest` is 0.0 when more is due now, and None when nothing is known to come.
    `flushed`: the transport has lost its memory; it hands out nothing until the table was rung again.
    """

    ids: tuple[UUID, ...] = ()
    rest: float | None = None
    flushed: bool = False


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself."""

    # With its version, for people.
    product: str
    # That of Redis; of others the one that they behave like.
    redis_version: tuple[int, ...]
    eviction_policy: str

    @property
    def evicts(self) -> bool:
        """Whether it throws away keys that nobody deleted."""
        return self.eviction_policy != "noeviction"


class Transport(ABC):
    """Carries bells from those who store jobs to the workers.

    Every method may raise TransportError when the server cannot be reached; nothing is lost then, for the table
    is the truth. Methods are safe to call from several threads. One object serves one process.
    """

    # A short name for banners and pages, never a secret: "redis", "database".
    name: ClassVar[str]
    # False: it never hands out ids, so the claim looks into the table itself.
    hands_out: ClassVar[bool] = True
    # Seconds an idle worker rests before it looks again, where `wait` cannot be woken by others.
    poll_seconds: ClassVar[float] = 1.0

    @abstractmethod
    def announce(self, bells: Sequence[Bell]) -> None:
        """Ring for jobs that are, or within minutes will be, due. Ringing twice changes nothing."""

    @abstractmethod
    def take(
        self,
        taker: UUID,
        queue_names: Sequence[str],
        limit: int,
        now: datetime,
        batch: int,
        shares: Sequence[int] = (),
    ) -> Taken | None:
        """Hand out up to `limit` ids due at `now`, best rank first in each queue, queues in the order given.

        `shares`: how many each queue gives first; what is missing then is taken in the order of the queues. Without
        them the first one may fill the limit. Each queue is named once.

        `batch` is the number of answers that this taker has received: an answer that got lost on its way is given
        again. So a taker, known by an id that nobody used before, counts from 0 and takes one after the other.
        None: this transport cannot tell, look into the table.
        """

    @abstractmethod
    def wait(self, queue_names: Sequence[str], seconds: float) -> None:
        """Return when something was announced in one of the queues, or `wake` was called, or the time is over."""

    def wake(self) -> None:
        """End a `wait` of this process early, where the transport can."""

    def put_back(self, taker: UUID) -> None:
        """Ring again what a dead taker had received in its last batch."""

    def forget(self, queue_name: str) -> None:
        """Drop all bells of a queue."""

    def is_flushed(self) -> bool:
        """Tell whether the transport lost its memory since it was last opened."""
        return False

    def open(self) -> None:
        """Say that the whole table has been rung: the transport may hand out again."""

    @abstractmethod
    def describe(self) -> str:
        """Return one line for banners: kind, place and server version, without secrets. Asks the server."""

    def facts(self) -> ServerFacts | None:
        """Return what the server says of itself, None where there is no server. Asks it."""
        return None

    def close(self) -> None:
        """Give connections back. The object is not used again."""
