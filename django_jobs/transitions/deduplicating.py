"""release, and all else that happens to a deduplication key: who holds it, who waits for it, who gives it back.

The slot tells: zero, this row holds the key; its own id, it does not, but waits for it (blocked) or has lost it to
time; none, it gave the key back at its end. A unique index allows one holder a key.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, Q

from django_jobs.models import Job, JobQuerySet
from django_jobs.models.functions import DatabaseNow
from django_jobs.models.job import HOLDER
from django_jobs.states import RELEASE, State
from django_jobs.transitions.removing import delete
from django_jobs.transitions.sql import dialect

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Released:
    """A row that waited and may start now."""

    id: UUID
    queue_name: str
    rank: int


@dataclass(frozen=True, slots=True)
class Hits:
    """Calls that were not stored because a row was there; `seconds`: for how long it holds its key from now on."""

    number: int
    seconds: float | None = None


def slot_at_end(prefix: str = "") -> str:
    """Return the slot of a row that ends: it gives its key back unless it holds it for a time."""
    return f"CASE WHEN {prefix}deduplication_expires_at IS NULL THEN NULL ELSE {prefix}deduplication_slot END"


def given_back(prefix: str = "") -> str:
    """Return the digest of the key that a row has given back, for RETURNING after a row has ended; or NULL."""
    # Not IS NULL, which SQLite answers wrongly in RETURNING: it takes the index of what is not null for a constraint.
    none = f"'{'f' * 32}'"
    return f"CASE WHEN COALESCE({prefix}deduplication_slot, {none}) = {none} THEN {prefix}deduplication_digest END"


def holders(using: str, digests: Collection[bytes]) -> dict[bytes, Job]:
    """Return who holds these keys; where nobody does, who waits for it. Locks nothing."""
    rows = Job.objects.using(using).filter(deduplication_digest__in=list(digests), deduplication_slot__isnull=False)
    # A holder is written last, and the newest of those who wait before it.
    waiting = {_digest(job): job for job in _waiting(rows)}
    return waiting | {_digest(job): job for job in rows.filter(deduplication_slot=HOLDER)}


def held_keys(using: str, ids: Collection[UUID]) -> set[bytes]:
    """Return the digests of the keys that these jobs hold."""
    rows = Job.objects.using(using).filter(pk__in=list(ids), deduplication_slot=HOLDER)
    return {_digest(job) for job in rows.only("deduplication_digest")}


def expired(using: str, ids: Collection[UUID]) -> set[UUID]:
    """Return those of the ids whose time to hold a key is over, by the database's clock."""
    rows = Job.objects.using(using).filter(pk__in=list(ids), deduplication_expires_at__lte=DatabaseNow())
    return set(rows.values_list("pk", flat=True))


def lock_holder(using: str, digest: bytes) -> Job | None:
    """Lock and return the row that holds a key: by its id, so that nobody's open insert is waited for."""
    rows = Job.objects.using(using).filter(deduplication_digest=digest, deduplication_slot=HOLDER)
    for _ in range(3):
        id = rows.values_list("pk", flat=True).first()
        if id is None:
            return None
        job = rows.filter(pk=id).select_for_update().first()
        if job is not None:
            return job
    return None


def lock_waiting(using: str, digest: bytes) -> list[Job]:
    """Lock and return the rows that wait for a key, the newest last."""
    rows = Job.objects.using(using).filter(deduplication_digest=digest, deduplication_slot__isnull=False)
    ids = list(_waiting(rows).values_list("pk", flat=True))
    return list(Job.objects.using(using).filter(pk__in=ids, state=State.BLOCKED).order_by("pk").select_for_update())


def lose(using: str, holder: Job) -> None:
    """Take the key from a row whose time is over. It runs on as it would have."""
    Job.objects.using(using).filter(pk=holder.pk).update(deduplication_slot=F("pk"))


def merge(using: str, gone: Sequence[Job], into: UUID) -> None:
    """Delete rows that have not started; another stands for them, and counts them."""
    if not gone:
        return
    delete(using, [job.pk for job in gone])
    count(using, {into: Hits(sum(1 + job.duplicates for job in gone))})


def release(using: str, id: UUID, held_until: datetime | None = None) -> list[Released]:
    """Let a row that waited hold its key and start; with `held_until` it holds the key until then.

    Raises IntegrityError if somebody else holds it.
    """
    sql = dialect(using)
    sets, parameters = f"state = '{RELEASE.target.value}', deduplication_slot = %s", [sql.id_parameter(HOLDER)]
    if held_until is not None:
        sets += ", deduplication_expires_at = %s"
        parameters.append(sql.time_parameter(held_until))
    rows = sql.update(sets, parameters, "id = %s AND state = 'blocked'", [sql.id_parameter(id)], "id, queue_name, rank")
    return [Released(sql.read_id(row[0]), row[1], int(row[2])) for row in rows]


def follow(using: str, digests: Collection[bytes]) -> list[Released]:
    """Hand keys that were given back in this transaction to the newest of those who wait for each.

    Waits for nobody: who has locked such a row is about to decide about it.
    """
    if not digests:
        return []
    rows = Job.objects.using(using).filter(deduplication_digest__in=list(digests), deduplication_slot__isnull=False)
    waiting: dict[bytes, list[Job]] = {}
    for job in _waiting(rows).select_for_update(skip_locked=True):
        waiting.setdefault(_digest(job), []).append(job)
    released: list[Released] = []
    for *older, newest in waiting.values():
        merge(using, older, newest.pk)
        released += release(using, newest.pk)
    return released


def count(using: str, hits: Mapping[UUID, Hits]) -> set[UUID]:
    """Count calls that were not stored at the rows that were there; return the ids of those that still are."""
    sql = dialect(using)
    found: set[UUID] = set()
    for id in sorted(hits):
        sets: str = "duplicates = duplicates + %s"
        parameters: list[Any] = [hits[id].number]
        if (seconds := hits[id].seconds) is not None:
            held = f"deduplication_slot = %s AND deduplication_expires_at > {sql.now}"
            until = sql.later("%s")
            # A row that has ended stays as long. First what reads the old time: MySQL assigns from left to right.
            sets += (
                f", keep_until = CASE WHEN {held} AND keep_until < {until} THEN {until} ELSE keep_until END, "
                f"deduplication_expires_at = CASE WHEN {held} THEN {until} ELSE deduplication_expires_at END"
            )
            holder = sql.id_parameter(HOLDER)
            parameters += [holder, seconds, seconds, holder, seconds]
        found |= {sql.read_id(row[0]) for row in sql.update(sets, parameters, "id = %s", [sql.id_parameter(id)], "id")}
    return found


def left_waiting(using: str, seconds: float, limit: int = CHUNK) -> list[bytes]:
    """Return keys whose rows have waited for so long although no holder is the reason."""
    sql = dialect(using)
    rows = sql.query(
        f"SELECT DISTINCT c.deduplication_digest FROM {sql.job} AS c "
        f"WHERE c.state = 'blocked' AND c.deduplication_slot = c.id AND c.enqueued_at <= {sql.later('%s')} "
        f"AND NOT EXISTS (SELECT 1 FROM {sql.job} AS h WHERE h.deduplication_digest = c.deduplication_digest "
        "AND h.deduplication_slot = %s AND c.deduplication_mode LIKE %s "
        "AND (h.state = 'running' OR (h.state = 'ready' AND h.starts > 0))) LIMIT %s",
        [-seconds, sql.id_parameter(HOLDER), "%keep_last%", limit],
    )
    return [bytes(row[0]) for row in rows]


def without_their_key(using: str, ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Return those of the ids that have ended and had a key and have it no more, with its digest."""
    rows = Job.objects.using(using).ended().filter(pk__in=list(ids), deduplication_digest__isnull=False)
    rows = rows.filter(Q(deduplication_slot__isnull=True) | Q(deduplication_slot=F("pk")))
    return {job.pk: _digest(job) for job in rows.only("pk", "deduplication_digest")}


def _waiting(rows: JobQuerySet) -> JobQuerySet:
    return rows.filter(state=State.BLOCKED, deduplication_slot=F("pk")).order_by("pk")


def _digest(job: Job) -> bytes:
    return bytes(job.deduplication_digest or b"")
