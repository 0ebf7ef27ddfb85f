"""rescue: jobs of dead workers run again; and nobody is called dead lightly."""

import logging
from collections.abc import Callable, Collection
from uuid import UUID

from django_jobs.definitions.outcomes import Claim
from django_jobs.lifecycle.deduplicating import bells_of
from django_jobs.lifecycle.dispatching import ring
from django_jobs.signals import worker_died
from django_jobs.states import State
from django_jobs.transitions import rescuing
from django_jobs.transitions.deduplicating import Released, follow
from django_jobs.transitions.rescuing import Rescued
from django_jobs.transitions.transactions import in_transaction
from django_jobs.transports import Bell

logger = logging.getLogger("django_jobs")

# More than so many, and more than half of all, silent at once: it is rather the database or the judge that slept.
MASS = 3


def rescue_worker(using: str, worker: UUID, *, begun: Collection[UUID] | None) -> int:
    """Declare one worker dead and take its jobs; return how many. For those who know that its process is gone.

    `begun`: the jobs whose bodies had started; None where nobody knows.
    """
    in_transaction(using, lambda: rescuing.mark_dead(using, [worker]))
    ids = [id for id, _ in rescuing.owned(using, worker)]
    count = 0
    for start in range(0, len(ids), rescuing.CHUNK):
        count += _rescue(using, ids[start : start + rescuing.CHUNK], begun)
    worker_died.send_robust(sender=None, worker_id=worker, rescued=count)
    return count


def say_goodbye(using: str, worker: UUID) -> None:
    """End an incarnation whose process goes in peace."""
    in_transaction(using, lambda: rescuing.mark_dead(using, [worker], died=False))


def judge(
    using: str, dead_after: float, already_suspected: Collection[UUID], *, me: UUID | None = None
) -> tuple[list[UUID], set[UUID]]:
    """Declare those dead who have not beaten for `dead_after` seconds; return them, and whom to look at once more.

    If so many are silent at once that the fault is likelier elsewhere, only those that were suspected in the last
    look too are declared dead; and nobody by a worker, `me`, that is among them: it is its clock that has jumped, or
    the database's.
    """
    silent, alive = rescuing.silent(using, dead_after)
    if me in silent:
        return [], set(silent)
    condemned = silent
    if len(silent) > MASS and len(silent) * 2 > alive:
        condemned = [each for each in silent if each in already_suspected]
    if condemned:
        in_transaction(using, lambda: rescuing.mark_dead(using, condemned, silent_seconds=dead_after))
        logger.warning("%s workers have not been heard of for %g s and count as dead.", len(condemned), dead_after)
    return condemned, set(silent) - set(condemned)


def rescue_orphans(using: str) -> int:
    """Take all running jobs whose owner is dead or has no row; return how many."""
    count = 0
    while ids := rescuing.orphans(using):
        taken = _rescue(using, ids, None)
        count += taken
        if not taken:
            break  # locked by somebody: the next round finds them
    return count


def give_back_unknown(using: str, worker: UUID, in_hand: Collection[tuple[UUID, int]]) -> int:
    """Give back rows that carry this worker's name but that it does not know of: the answer to its claim got lost."""
    lost = [each for each in rescuing.owned(using, worker) if each not in in_hand]
    if not lost:
        return 0
    returned, released = _with_followers(using, lambda: rescuing.release(using, worker, lost))
    ring([Bell(row.id, row.queue_name, row.rank) for row in returned if row.state == State.READY])
    ring(bells_of(using, released))
    logger.warning("%s claimed jobs were unknown to this worker and went back to their queues.", len(returned))
    return len(returned)


def _rescue(using: str, ids: list[UUID], begun: Collection[UUID] | None) -> int:
    rows, released = _with_followers(using, lambda: rescuing.rescue(using, ids, begun=begun))
    # A suspect is not rung: it starts alone, and those who start it look into the table.
    ring([Bell(row.id, row.queue_name, row.rank) for row in rows if row.state == State.READY and not row.suspect])
    ring(bells_of(using, released))
    for row in rows:
        if row.state == State.FAILED:
            logger.error("Job %s (%s) failed: %s", row.id, row.name, row.error)
    return len(rows)


def _with_followers(using: str, take: Callable[[], list[Rescued]]) -> tuple[list[Rescued], list[Released]]:
    """Take running jobs, and hand the deduplication keys of those that ended to who waits, in one transaction."""

    def work() -> tuple[list[Rescued], list[Released]]:
        rows = take()
        return rows, follow(using, [row.given_back for row in rows if row.given_back is not None])

    return in_transaction(using, work)


def claims_in_hand(claims: Collection[Claim]) -> set[tuple[UUID, int]]:
    """Return what tells a claim from an older or newer one of the same job."""
    return {(claim.id, claim.fence) for claim in claims}
