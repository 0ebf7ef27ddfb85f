"""expire: ready -> cancelled, for what was not started by its time."""

from dataclasses import dataclass
from uuid import UUID

from django_jobs.states import EXPIRE
from django_jobs.transitions.deduplicating import given_back, slot_at_end
from django_jobs.transitions.keeping import keep_until
from django_jobs.transitions.sql import dialect

CHUNK = 500
EXPIRED = "Expired: it was not started in time."


@dataclass(frozen=True, slots=True)
class Expired:
    """A job that was dropped."""

    id: UUID
    name: str
    queue_name: str
    # The deduplication key that it has given back.
    given_back: bytes | None = None


def expire(using: str, limit: int = CHUNK) -> list[Expired]:
    """Drop jobs that have not been started by their time, those first whose time was first; return them."""
    sql = dialect(using)
    rows = sql.update(
        f"state = '{EXPIRE.target.value}', error = %s, finished_at = {sql.now}, "
        f"deduplication_slot = {slot_at_end()}, keep_until = {keep_until(sql, EXPIRE.target)}",
        [EXPIRED],
        # As the index has it, letter by letter.
        f"state = 'ready' AND starts = 0 AND expires_at IS NOT NULL AND expires_at <= {sql.now}",
        [],
        f"id, name, queue_name, {given_back()}",
        order="expires_at",
        limit=limit,
        skip_locked=True,
    )
    return [
        Expired(sql.read_id(id), name, queue_name, None if key is None else bytes(key))
        for id, name, queue_name, key in rows
    ]
