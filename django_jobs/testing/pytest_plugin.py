"""Fixtures for pytest, which loads this by itself. Nothing else is imported until a test asks for one of them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_jobs.models import Job
    from django_jobs.testing.clocks import FrozenClock
    from django_jobs.testing.modes import CapturedJobs


@pytest.fixture
def drain_jobs() -> "Callable[..., list[Job]]":
    """Give `drain(queue_names=None, *, until=None, raise_errors=False, limit=1000)`: run the jobs that are due."""
    from django_jobs.testing.draining import drain

    return drain


@pytest.fixture
def captured_jobs() -> "Iterator[CapturedJobs]":
    """Give the jobs that the test has enqueued so far, a sequence that goes on; none of them runs by itself."""
    from django_jobs.testing.modes import captured

    with captured() as jobs:
        yield jobs


@pytest.fixture
def immediate_jobs() -> Iterator[None]:
    """Run jobs as they are committed. Where nothing is, run `django_capture_on_commit_callbacks(execute=True)`."""
    from django_jobs.testing.modes import immediate

    with immediate():
        yield


@pytest.fixture
def frozen_clock() -> "Iterator[FrozenClock]":
    """Stop the time that jobs go by until the test calls `frozen_clock.move(...)` or `.move_to(...)`."""
    from django_jobs.testing.clocks import FrozenClock

    with FrozenClock() as clock:
        yield clock
