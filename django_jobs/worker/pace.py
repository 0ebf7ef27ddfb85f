"""Whether the bodies of a pool are so short that one thread runs them all sooner than others could help it."""

import math

from django_jobs import clock

# Up to so long they are short: to wake a thread for each, and have it wait for Python's lock, takes as long.
SHORT_SECONDS = 0.00015
# They are judged by what has run in so long together: a single one may have been held up by Python's lock.
JUDGED_SECONDS = 0.01
# Who turned out to be slow is tried again after so long, unless none was quicker than what a trial may cost.
TRIAL_SECONDS = 1.0


class Pace:
    """Learns from the run times of bodies. They are brisk from a trial on, until it turns out that they are not.

    How long a body takes is only known while it runs alone: beside others most of its time may be theirs.
    """

    def __init__(self) -> None:
        self.is_brisk = False
        self._seconds, self._bodies = 0.0, 0
        self._shortest_seconds = math.inf
        self._next_trial = -math.inf

    def begin_trial(self) -> bool:
        """Take bodies for brisk from now on, if it is time to try; return whether it is."""
        if self.is_brisk or self._shortest_seconds > JUDGED_SECONDS or clock.monotonic() < self._next_trial:
            return False
        self.is_brisk, self._seconds, self._bodies = True, 0.0, 0
        return True

    def learn(self, seconds: float, *, alone: bool) -> bool:
        """Learn how long a body took, alone or beside others; return whether that ends the time of brisk ones."""
        if not self.is_brisk:
            self._shortest_seconds = min(self._shortest_seconds, seconds)
        if not (self.is_brisk and alone):
            return False
        self._seconds += seconds
        self._bodies += 1
        if self._seconds < JUDGED_SECONDS:
            return False
        if self._seconds > SHORT_SECONDS * self._bodies:
            self.slow_down()
        self._seconds, self._bodies = 0.0, 0
        return not self.is_brisk

    def slow_down(self) -> None:
        """Take bodies for slow until the next trial."""
        self.is_brisk = False
        self._shortest_seconds = math.inf
        self._next_trial = clock.monotonic() + TRIAL_SECONDS
