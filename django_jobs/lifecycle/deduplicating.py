"""deduplicate: calls with one key become one row, and what waits for a key is settled after the commit."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from copy import copy
from uuid import UUID

from django.db import IntegrityError, OperationalError, connections, transaction

from django_jobs.conf import get_settings
from django_jobs.coordination.deduplication import is_duplicate, settle_key
from django_jobs.definitions.rank import due_at
from django_jobs.lifecycle.dispatching import HORIZON, bells_of_new, ring_on_commit
from django_jobs.models import Job
from django_jobs.models.job import HOLDER
from django_jobs.states import State
from django_jobs.transitions import deduplicating
from django_jobs.transitions.creating import insert
from django_jobs.transitions.deduplicating import Hits, Released
from django_jobs.transitions.drafts import NewJob
from django_jobs.transitions.due import now
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.transactions import in_transaction
from django_jobs.transports import Bell

logger = logging.getLogger("django_jobs")

# Who waits for so long was not settled after its commit: its process died, or the database was away.
OVERDUE_SECONDS = 10.0
TRIES = 3


def bells_of(using: str, released: Sequence[Released]) -> list[Bell]:
    """Return the bells of rows that may start, as far as they are due soon."""
    if not released:
        return []
    near = now(using) + HORIZON
    return [Bell(row.id, row.queue_name, row.rank) for row in released if due_at(row.rank) <= near]


def follow_on_commit(using: str, digests: Collection[bytes]) -> None:
    """Hand keys that were given back in this transaction to who waits for them, and ring after its commit."""
    ring_on_commit(using, bells_of(using, deduplicating.follow(using, digests)))


def count_refused(using: str, ids: Collection[UUID]) -> None:
    """Count, after the commit, jobs that were to run again but whose keys others have."""
    refused = deduplicating.without_their_key(using, ids)
    if not refused:
        return
    there = deduplicating.holders(using, refused.values())
    hits = {there[digest].pk: Hits(number) for digest, number in Counter(refused.values()).items() if digest in there}
    transaction.on_commit(
        lambda: in_transaction(using, lambda: deduplicating.count(using, hits)), using=using, robust=True
    )


def holder_of(job: Job) -> Job | None:
    """Return the job that has the key for which this one waits."""
    return _relative(job) if job.state == State.BLOCKED else None


def follow_up_of(job: Job) -> Job | None:
    """Return the job that waits for the key that this one holds."""
    return _relative(job) if job.deduplication_slot == HOLDER else None


def _relative(job: Job) -> Job | None:
    if job.deduplication_digest is None:
        return None
    rows = Job.objects.using(job._state.db or get_settings().DATABASE).exclude(pk=job.pk)
    rows = rows.filter(deduplication_digest=job.deduplication_digest, deduplication_slot__isnull=False)
    waits = job.deduplication_slot == HOLDER
    rows = rows.filter(state=State.BLOCKED) if waits else rows.filter(deduplication_slot=HOLDER)
    return rows.order_by("-pk").first()


def settle_keys(using: str, digests: Collection[bytes]) -> int:
    """Decide about the rows that wait for these keys, each in a transaction of its own; return how many may start."""
    released: list[Released] = []
    for digest in sorted(digests):
        try:
            released += in_transaction(using, lambda digest=digest: settle_key(using, digest), tries=TRIES)  # type: ignore[misc]
        except IntegrityError:
            pass  # another holder appeared in the meantime, and its end decides
        except OperationalError as error:
            if not connections[using].is_usable():
                raise
            logger.info("A deduplication key is settled later: somebody has locked it. %s", error)
    ring_on_commit(using, bells_of(using, released))
    return len(released)


def settle_overdue_keys(using: str) -> int:
    """Decide about keys that nobody decided about after the commit; return how many jobs may start now."""
    return settle_keys(using, deduplicating.left_waiting(using, OVERDUE_SECONDS))


def store_deduplicated(using: str, drafts: Sequence[NewJob]) -> dict[UUID, Job]:
    """Store those whose key is free, in the caller's transaction; return a row for each, its own or the one there.

    It only inserts. Where the answer depends on what happens until the commit, a row is stored that waits, and is
    settled then. So nobody's open transaction holds a lock on a job that a worker has.
    """
    # A refusal would leave a lock on the holder, and its worker would wait for the caller's commit.
    tries = not (connections[using].in_atomic_block and dialect(using).locks_when_refused)
    stored, others = insert(using, drafts) if tries else ([], list(drafts))
    jobs = {draft.job.pk: draft.job for draft in stored}
    if jobs:
        ring_on_commit(using, bells_of_new(list(jobs.values())), list(jobs.values()))
    return jobs | _decide(using, others) if others else jobs


def _decide(using: str, drafts: Sequence[NewJob]) -> dict[UUID, Job]:
    """Give each draft the row that is there, or store it as one that waits."""
    holders = _holders(using, {_digest(draft.job) for draft in drafts})
    may_start_before_commit = connections[using].in_atomic_block
    settlement = Settlement(using)
    waiting: list[NewJob] = []
    # What a draft is a duplicate of: a row, or an earlier draft by its id.
    twins: dict[UUID, Job | UUID] = {}
    firsts: dict[bytes, UUID] = {}
    for draft in drafts:
        digest, mode = _digest(draft.job), draft.job.deduplication_mode or ""
        holder = holders.get(digest)
        twin = holder or firsts.get(digest)
        if twin is None or not is_duplicate(holder, mode):
            waiting.append(draft)
            firsts.setdefault(digest, draft.job.pk)
            continue
        twins[draft.job.pk] = twin
        if "keep_last" in mode and may_start_before_commit:
            # Then this call is one that came while the other ran: it must not be forgotten.
            waiting.append(draft)
        else:
            settlement.hit(twin.pk if isinstance(twin, Job) else twin, draft)
    jobs = _store_waiting(using, waiting)
    settlement.digests |= {_digest(draft.job) for draft in waiting}
    settlement.jobs = [jobs[draft.job.pk] for draft in waiting if draft.job.pk not in twins]
    for id, twin in twins.items():
        jobs[id] = copy(twin if isinstance(twin, Job) else jobs[twin])
        jobs[id].created = False
    transaction.on_commit(settlement.run, using=using, robust=True)
    return jobs


def _holders(using: str, digests: Collection[bytes]) -> dict[bytes, Job]:
    """Return the rows that are there for these keys, without those whose time is over."""
    there = deduplicating.holders(using, digests)
    timed = [job.pk for job in there.values() if job.deduplication_expires_at is not None]
    expired = deduplicating.expired(using, timed) if timed else ()
    return {digest: job for digest, job in there.items() if job.pk not in expired}


def _store_waiting(using: str, drafts: Sequence[NewJob]) -> dict[UUID, Job]:
    for draft in drafts:
        draft.job.deduplication_slot = draft.job.pk
    if drafts:
        insert(using, drafts, waiting=True)
    return {draft.job.pk: draft.job for draft in drafts}


class Settlement:
    """What calls of one transaction leave to be done after its commit."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.digests: set[bytes] = set()
        # Rows that were stored and handed out although the last word about them is still to be spoken.
        self.jobs: list[Job] = []
        self._hits: dict[UUID, tuple[bytes, Hits]] = {}

    def hit(self, id: UUID, draft: NewJob) -> None:
        """Note that a call came to nothing because of this row."""
        number = self._hits[id][1].number if id in self._hits else 0
        seconds = draft.template.held_seconds if "extend" in (draft.job.deduplication_mode or "") else None
        self._hits[id] = _digest(draft.job), Hits(number + 1, seconds)

    def run(self) -> None:
        """Settle the keys, count the duplicates, and let the callers' instances say what their rows say."""
        settle_keys(self.using, self.digests)
        self._tell()
        self._count()

    def _count(self) -> None:
        if not self._hits:
            return
        hits = {id: each for id, (_, each) in self._hits.items()}
        counted = in_transaction(self.using, lambda: deduplicating.count(self.using, hits))
        # A row that made way: whoever came in its place counts for it.
        gone = {digest: each for id, (digest, each) in self._hits.items() if id not in counted}
        heirs = deduplicating.holders(self.using, gone) if gone else {}
        rest = {heir.pk: gone[digest] for digest, heir in heirs.items()}
        if rest:
            in_transaction(self.using, lambda: deduplicating.count(self.using, rest))

    def _tell(self) -> None:
        if not self.jobs:
            return
        rows = Job.objects.using(self.using).in_bulk([job.pk for job in self.jobs])
        gone = {_digest(job) for job in self.jobs if job.pk not in rows}
        heirs = deduplicating.holders(self.using, gone) if gone else {}
        for job in self.jobs:
            row = rows.get(job.pk)
            if row is None:
                job.created = False
                row = heirs.get(_digest(job))
            if row is not None:
                for field in Job._meta.concrete_fields:
                    setattr(job, field.attname, getattr(row, field.attname))
        ring_on_commit(self.using, [], [job for job in self.jobs if job.created])


def _digest(job: Job) -> bytes:
    return bytes(job.deduplication_digest or b"")
