"""For tests that are classes: what this package has for functions, as methods that are called as unittest does."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django_jobs.models import Job
from django_jobs.testing.assertions import assert_enqueued, assert_nothing_enqueued
from django_jobs.testing.clocks import FrozenClock
from django_jobs.testing.draining import drain
from django_jobs.testing.modes import CapturedJobs, captured, immediate

__unittest = True

if TYPE_CHECKING:
    from unittest import TestCase as _Case
else:
    _Case = object


class JobsTestMixin(_Case):
    """Stands before a TestCase, TransactionTestCase or LiveServerTestCase of Django."""

    def drain_jobs(self, *args: Any, **kwargs: Any) -> list[Job]:
        """Run what is due; see `drain`."""
        return drain(*args, **kwargs)

    def capture_jobs(self) -> CapturedJobs:
        """Gather the jobs that are enqueued from here to the end of the test; see `captured`."""
        jobs: CapturedJobs = self.enterContext(captured())
        return jobs

    def run_jobs_immediately(self, **kwargs: Any) -> None:
        """Run jobs as they are committed, from here to the end of the test; see `immediate`."""
        self.enterContext(immediate(**kwargs))

    def freeze_clock(self, at: datetime | None = None) -> FrozenClock:
        """Stop the time that jobs go by, from here to the end of the test; see `FrozenClock`."""
        clock: FrozenClock = self.enterContext(FrozenClock(at))
        return clock

    def assertEnqueued(self, *args: Any, **kwargs: Any) -> list[Job]:  # noqa: N802 (as unittest names them)
        """Assert that a job was enqueued like this; see `assert_enqueued`."""
        __tracebackhide__ = True
        return assert_enqueued(*args, **kwargs)

    def assertNothingEnqueued(self, *args: Any, **kwargs: Any) -> None:  # noqa: N802
        """Assert that no job was enqueued, or none like this; see `assert_nothing_enqueued`."""
        __tracebackhide__ = True
        assert_nothing_enqueued(*args, **kwargs)
