"""expire: what nobody started in time is dropped, in bounded batches."""

import logging

from django_jobs.transitions import expiring
from django_jobs.transitions.transactions import in_transaction

logger = logging.getLogger("django_jobs")


def expire_jobs(using: str) -> int:
    """Drop every job that was not started by its time; return how many."""
    count = 0
    while dropped := in_transaction(using, lambda: expiring.expire(using)):
        count += len(dropped)
        for job in dropped:
            logger.info("Job %s (%s) expired before it was started.", job.id, job.name)
        if len(dropped) < expiring.CHUNK:
            break  # what is left is locked by somebody: the next round finds it
    return count
