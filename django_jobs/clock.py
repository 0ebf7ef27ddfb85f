"""The one seam for time: `now` for records, `monotonic` for durations. Tests put another clock in its place.

Decisions about jobs go by the database's time, which is another clock; one that stands for it too says so.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def database_now(self) -> datetime | None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def database_now(self) -> datetime | None:
        return None


_clock: Clock = SystemClock()


def now() -> datetime:
    """Return this host's time, aware and in UTC. Decisions about jobs use the database's time instead."""
    return _clock.now()


def monotonic() -> float:
    """Return seconds that never go backwards; only differences mean something."""
    return _clock.monotonic()


def database_now() -> datetime | None:
    """Return the moment that statements name in place of the database's time; None: they ask the database."""
    return _clock.database_now()


def current_clock() -> Clock:
    """Return the clock that tells the time in this process."""
    return _clock


@contextmanager
def use_clock(clock: Clock) -> Iterator[Clock]:
    """Let `clock` tell the time inside the block, in every thread of this process."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
