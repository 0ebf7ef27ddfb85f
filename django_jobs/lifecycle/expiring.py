"""expire: what nobody started in time is dropped, in bounded batches."""

import logging

from django_jobs.lifecycle.deduplicating import follow_on_commit
from django_jobs.transitions import expiring
from django_jobs.transitions.expiring import Expired
from django_jobs.transitions.transactions import in_transaction

logger = logging.getLogger("django_jobs")


def expire_jobs(using: str) -> int:
    """Drop every job that was not started by its time; return how many."""
    count = 0
    while dropped := in_transaction(using, lambda: _expire(using)):
        count += len(dropped)
        for job in dropped:
            logger.info("Job %s (%s) expired before it was started.", job.id, job.name)
        if len(dropped) < expiring.CHUNK:
            break  # what is left is locked by somebody: the next round finds it
    return count


def _expire(using: str) -> list[Expired]:
    dropped = expiring.expire(using)
    follow_on_commit(using, [job.given_back for job in dropped if job.given_back is not None])
    return dropped
