"""Time that a test holds in its hands: this process's, and the database's as far as jobs go by it."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from types import TracebackType

from django.conf import settings
from django.utils.timezone import is_naive

from django_jobs import clock
from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidOption

# What every database can keep and compare: SQLite's own time knows no more.
TICK = timedelta(milliseconds=1)


class FrozenClock:
    """Stop the time that jobs go by, for a `with` block and in all threads of this process, until it is moved.

    `at`: the moment, aware unless USE_TZ is off; the present by default. Other processes, `timezone.now()` and what
    the database says in your own statements go on.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._start = self._now = whole(clock.now() if at is None else aware(at, "FrozenClock(at)"))
        self._monotonic = clock.monotonic()
        self._use: AbstractContextManager[clock.Clock] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._now.isoformat()}>"

    def now(self) -> datetime:
        """Return the moment at which the time stands, aware and in UTC."""
        return self._now

    def move(self, duration: timedelta | float) -> datetime:
        """Let so much time pass at once, a timedelta or seconds; return the new moment. Raises InvalidOption."""
        return self.move_to(self._now + timedelta(seconds=seconds(duration, option="FrozenClock.move(duration)")))

    def move_to(self, moment: datetime) -> datetime:
        """Let the time pass until a moment; return it. Raises InvalidOption for one that is over."""
        moment = whole(aware(moment, "FrozenClock.move_to(moment)"))
        if moment < self._now:
            raise InvalidOption(f"FrozenClock cannot go back to {moment.isoformat()}: it is {self._now.isoformat()}.")
        self._now = moment
        return moment

    # What else is asked of a clock.

    def monotonic(self) -> float:
        return self._monotonic + (self._now - self._start).total_seconds()

    def database_now(self) -> datetime | None:
        return self._now

    def __enter__(self) -> "FrozenClock":
        self._use = clock.use_clock(self)
        self._use.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._use is not None:
            self._use.__exit__(kind, error, at)


def frozen_clock() -> FrozenClock | None:
    """Return the FrozenClock that tells the time now, or None."""
    current = clock.current_clock()
    return current if isinstance(current, FrozenClock) else None


def whole(moment: datetime) -> datetime:
    """Return the first moment of whole milliseconds that is not before this one, so that what is due then is due."""
    return moment + (-timedelta(microseconds=moment.microsecond)) % TICK


def aware(moment: object, what: str) -> datetime:
    """Return a moment in UTC. Raises InvalidOption."""
    if not isinstance(moment, datetime):
        raise InvalidOption(f"{what} must be a datetime, not {moment!r}.")
    if is_naive(moment) and settings.USE_TZ:
        raise InvalidOption(f"{what} must be an aware datetime, not {moment!r}. Use django.utils.timezone.")
    return moment.astimezone(UTC)
