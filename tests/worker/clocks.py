"""A clock that a test moves."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from django_jobs.clock import SystemClock, use_clock
from django_jobs.execution.timeouts import watch


class MovedClock(SystemClock):
    """The clock of this host alone: the database's time goes on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def moved_clock() -> Iterator[MovedClock]:
    """Time stands still, in every thread of this process, until a test adds to `seconds`."""
    clock = MovedClock()
    with use_clock(clock):
        yield clock
    # Who watches timeouts may rest until a moment of that clock.
    watch._wakes.put(None)
