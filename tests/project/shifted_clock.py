"""The clock of a host that is wrong by as many seconds as DJANGO_JOBS_TEST_SHIFT says."""

import os
from datetime import datetime, timedelta

from django_jobs import clock

SHIFT = timedelta(seconds=float(os.environ["DJANGO_JOBS_TEST_SHIFT"]))


class ShiftedClock(clock.SystemClock):
    def now(self) -> datetime:
        return super().now() + SHIFT


clock._clock = ShiftedClock()
