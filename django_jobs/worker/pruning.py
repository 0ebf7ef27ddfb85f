"""The chore that prunes: a step at a time, with rests, so that the workers keep most of the database."""

import logging
import time
from collections.abc import Iterator

from django_jobs import clock
from django_jobs.lifecycle.pruning import prune
from django_jobs.transitions.chores import claim_chore

logger = logging.getLogger("django_jobs")

NAME = "prune"
EVERY_SECONDS, LEASE_SECONDS = 60.0, 30.0
# After a step it rests so many times as long as the step took.
RESTS = 2.0


class Pruner:
    """Prunes while it is this worker's turn. Whoever takes up the chore renews his lease as he goes."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._steps: Iterator[int] | None = None
        self._removed = 0
        self._renew_at = 0.0

    def step(self) -> float:
        """Take one step, or look whether it is time for a round; return the seconds to rest."""
        if self._steps is None:
            if not claim_chore(self._using, NAME, LEASE_SECONDS):
                return LEASE_SECONDS / 2
            self._steps, self._removed = prune(self._using), 0
            self._renew_at = clock.monotonic() + LEASE_SECONDS / 3
        began = time.monotonic()
        removed = next(self._steps, None)
        if removed is None:
            return self._end_round()
        self._removed += removed
        if clock.monotonic() >= self._renew_at:
            claim_chore(self._using, NAME, LEASE_SECONDS, renew=True)
            self._renew_at = clock.monotonic() + LEASE_SECONDS / 3
        return RESTS * (time.monotonic() - began)

    def abandon(self) -> None:
        """Forget the round under way: somebody goes on with it when the lease is over."""
        self._steps = None

    def _end_round(self) -> float:
        self._steps = None
        claim_chore(self._using, NAME, EVERY_SECONDS, renew=True)
        if self._removed:
            logger.info("%s jobs were pruned that were not to be kept any longer.", self._removed)
        return EVERY_SECONDS
