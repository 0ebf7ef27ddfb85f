"""Ring the bells: once a transaction, after its commit, in one round trip; never in the way of the caller."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobs.conf import get_settings
from django_jobs.errors import TransportError
from django_jobs.models import Job
from django_jobs.signals import jobs_enqueued
from django_jobs.transports import Bell, get_transport

logger = logging.getLogger("django_jobs")

# What is due later is rung by the sweep when its time is near.
HORIZON = timedelta(minutes=10)

_transport_is_away = False


def ring(bells: Sequence[Bell]) -> bool:
    """Announce bells now. If the transport is away, say so once and return False: the sweep rings later."""
    return _try_to_ring(bells) is None


def _try_to_ring(bells: Sequence[Bell]) -> TransportError | None:
    global _transport_is_away
    if not bells:
        return None
    try:
        get_transport().announce(bells)
    except TransportError as error:
        if not _transport_is_away:
            logger.warning("Jobs are stored but could not be rung; workers will find them in the table. %s", error)
        _transport_is_away = True
        return error
    _transport_is_away = False
    return None


def forget_bells(queue_name: str) -> bool:
    """Drop the bells of a queue whose jobs are gone; return whether the transport keeps any and could be reached."""
    transport = get_transport()
    try:
        transport.forget(queue_name)
    except TransportError:
        return False  # A bell for a job that is not there does no harm.
    return transport.hands_out


def ring_on_commit(using: str, bells: Sequence[Bell], jobs: Sequence[Job] = ()) -> None:
    """Announce bells, and the jobs that were enqueued, when the transaction of this connection commits."""
    connection = connections[using]
    batch = _batch_of(connection) or Batch(using)
    batch.bells += bells
    if jobs_enqueued.receivers:
        batch.jobs += jobs
    batch.may_have_lost_some |= bool(connection.savepoint_ids)
    # Every enqueue registers it: a registration of the first one alone would die with a savepoint around it.
    transaction.on_commit(batch.ring, using=using, robust=not get_settings().RAISE_TRANSPORT_ERRORS)


def bells_of_new(jobs: Sequence[Job]) -> list[Bell]:
    """Return the bells of jobs that were stored just now, as far as they are due soon."""
    return [
        Bell(job.id, job.queue_name, job.rank, job.group)
        for job in jobs
        # What is due at once mostly has one moment for both.
        if job.run_after is job.enqueued_at or job.run_after - job.enqueued_at <= HORIZON
    ]


class Batch:
    """The bells of one transaction. It hangs on the transaction's callbacks alone, and dies with them."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.bells: list[Bell] = []
        self.jobs: list[Job] = []
        self.may_have_lost_some = False
        self.rung = False

    def ring(self) -> None:
        """Ring all; further calls do nothing. Raises TransportError where the settings want it."""
        if self.rung:
            return
        self.rung = True
        if self.may_have_lost_some:
            self._forget_rolled_back()
        error = _try_to_ring(self.bells)
        if self.jobs:
            jobs_enqueued.send_robust(sender=None, jobs=self.jobs)
        if error is not None and get_settings().RAISE_TRANSPORT_ERRORS:
            raise error

    def _forget_rolled_back(self) -> None:
        """A savepoint may have been rolled back since: the table knows what is left."""
        ids = {bell.id for bell in self.bells} | {job.id for job in self.jobs}
        try:
            stored = _stored(self.using, ids)
        except DatabaseError:
            return  # A bell for a job that is not there does no harm.
        self.bells = [bell for bell in self.bells if bell.id in stored]
        self.jobs = [job for job in self.jobs if job.id in stored]


def _stored(using: str, ids: set[UUID]) -> set[UUID]:
    stored: set[UUID] = set()
    remaining = sorted(ids)
    while remaining:
        chunk, remaining = remaining[:1000], remaining[1000:]
        stored |= set(Job.objects.using(using).filter(pk__in=chunk).values_list("pk", flat=True))
    return stored


def _batch_of(connection: BaseDatabaseWrapper) -> Batch | None:
    for _, callback, *_ in reversed(connection.run_on_commit):
        batch = getattr(callback, "__self__", None)
        # One that has rung is not of this transaction: in a TestCase callbacks are run, and stay where they are.
        if isinstance(batch, Batch) and not batch.rung:
            return batch
    return None
