"""Who of those with one deduplication key runs, who waits, and who is dropped. Decided here alone."""

from django_jobs.models import Job
from django_jobs.states import ENDED, State
from django_jobs.transitions import deduplicating
from django_jobs.transitions.deduplicating import Released
from django_jobs.transitions.sql import dialect

# Nobody holds these rows for long; but PostgreSQL waits for an insert of the same key, and that may take its time.
PATIENCE_MILLISECONDS = 200


def has_started(holder: Job) -> bool:
    """Tell whether a body of it has begun and the job has not ended: it runs, or will run again."""
    return holder.state == State.RUNNING or (holder.state == State.READY and holder.starts > 0)


def is_duplicate(holder: Job | None, mode: str) -> bool:
    """Tell whether a new call comes to nothing because of who is there, or becomes a row of its own.

    Without a holder the one that is there waits for the key too, and has not started.
    """
    if holder is None:
        return "replace" not in mode
    if has_started(holder):
        return "keep_last" not in mode
    return holder.state in ENDED or "replace" not in mode


def settle_key(using: str, digest: bytes) -> list[Released]:
    """Decide about the rows that wait for a key, in the current transaction; return who may start.

    Raises IntegrityError when another holder appeared in the meantime: nothing is decided then.
    """
    dialect(using).limit_lock_waits(PATIENCE_MILLISECONDS)
    # The holder first, as at its end: who ends it meanwhile finds those who wait for it unlocked.
    holder = deduplicating.lock_holder(using, digest)
    waiting = deduplicating.lock_waiting(using, digest)
    if not waiting:
        return []
    *older, newest = waiting
    words = (newest.deduplication_mode or "").split()
    held_until = None
    if holder is not None:
        if holder.deduplication_expires_at is not None and deduplicating.expired(using, [holder.pk]):
            deduplicating.lose(using, holder)
        elif has_started(holder) and "keep_last" in words:
            deduplicating.merge(using, older, newest.pk)
            return []
        elif holder.state == State.READY and not has_started(holder) and "replace" in words:
            # Who makes way hands on the time for which it held the key, unless each call begins it anew.
            held_until = None if "extend" in words or "ttl" not in words else holder.deduplication_expires_at
            older.append(holder)
        else:
            deduplicating.merge(using, waiting, holder.pk)
            return []
    deduplicating.merge(using, older, newest.pk)
    return deduplicating.release(using, newest.pk, held_until)
