"""The one seam for time: `now` for records, `monotonic` for durations. Tests put another clock in its place."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


_clock: Clock = SystemClock()


def now() -> datetime:
    """Return this host's time, aware and in UTC. Decisions about jobs use the database's time instead."""
    return _clock.now()


def monotonic() -> float:
    """Return seconds that never go backwards; only differences mean something."""
    return _clock.monotonic()


@contextmanager
def use_clock(clock: Clock) -> Iterator[Clock]:
    """Let `clock` tell the time inside the block, in every thread of this process."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
