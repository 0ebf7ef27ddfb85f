"""create: nothing -> ready. Only inserts; a key is acquired here and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django_jobs.definitions.keeping import StoredKeep
from django_jobs.definitions.rank import BAND_SIZE, LAST_TICK, band
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect, Row, portions

# A statement of this many rows is about as cheap a row as one of more.
CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A row to insert. `run_at`: a moment; `delay`: seconds from the INSERT; neither: at once."""

    id: UUID
    name: str
    queue_name: str
    priority: int
    lifo: bool
    run_at: datetime | None
    delay: float | None
    max_attempts: int
    max_stalls: int
    backoff: str
    arguments: str
    headers: str
    idempotency_key: str | None
    key_digest: bytes | None
    key_seconds: float | None
    arguments_digest: bytes | None
    keep: StoredKeep | None = None

    @property
    def keep_columns(self) -> dict[str, int | None]:
        keep = self.keep
        return {} if keep is None else {f"keep_{name}": getattr(keep, name) for name in _KEEP}


@dataclass(frozen=True, slots=True)
class Inserted:
    """What the database decided: the rank, and two of its times."""

    rank: int
    run_after: datetime
    enqueued_at: datetime


@dataclass(frozen=True, slots=True)
class Holder:
    """The row that has a key, and whether the promise of the key is over."""

    job: Job
    expired: bool


_KEEP = ("successful", "failed", "successful_count", "failed_count")
_COLUMNS = {
    "id": "uuid",
    "job_name": "text",
    "queue": "text",
    "its_priority": "bigint",
    "is_lifo": "boolean",
    "base": "bigint",
    "run_at": "timestamptz",
    "delay": "float8",
    "most_attempts": "bigint",
    "most_stalls": "bigint",
    "its_backoff": "text",
    "arguments_text": "text",
    "headers_text": "text",
    "key_text": "text",
    "key_digest": "bytea",
    "key_seconds": "float8",
    "arguments_digest": "bytea",
}


def insert(using: str, jobs: Sequence[NewJob]) -> dict[UUID, Inserted]:
    """Insert the jobs in the current transaction; return those that were stored, by id.

    One that is missing had an idempotency key that is taken.
    """
    sql = dialect(using)
    # A moment that the caller gave is stored as it is; far away, a number of seconds is not that exact.
    given = {job.id: job.run_at for job in jobs if job.run_at is not None}
    inserted: dict[UUID, Inserted] = {}
    # Columns that most jobs leave to the settings travel only where one of these does not.
    extra = _KEEP if any(job.keep is not None for job in jobs) else ()
    for records in portions([_record(sql, job, extra) for job in jobs]):
        for row in _insert(sql, records, extra):
            id, rank, run_after, enqueued_at = sql.read_id(row[0]), int(row[1]), row[2], row[3]
            inserted[id] = Inserted(rank, given.get(id) or _moment(run_after), _moment(enqueued_at))
    return inserted


def holders(using: str, digests: Sequence[bytes]) -> dict[bytes, Holder]:
    """Return who holds these keys now, even rows that the snapshot of the caller's transaction does not show yet."""
    sql = dialect(using)
    expired = f"CASE WHEN key_expires_at <= {sql.now} THEN 1 ELSE 0 END AS key_expired"
    marks = ", ".join(["%s"] * len(digests))
    rows = Job.objects.using(using).raw(
        f"SELECT *, {expired} FROM {sql.job} WHERE key_digest IN ({marks}){sql.lock_to_read_the_present()}",
        list(digests),
    )
    return {bytes(job.key_digest): Holder(job, bool(vars(job)["key_expired"])) for job in rows}


def free_expired_keys(using: str, digests: Sequence[bytes]) -> None:
    """End the promise of those keys whose time is over, so that they can be taken again."""
    sql = dialect(using)
    for digest in digests:
        sql.update(
            "key_digest = NULL",
            (),
            f"key_digest = %s AND key_expires_at <= {sql.now}",
            [digest],
            "id",
            order="key_digest",
        )


def _insert(sql: Dialect, records: Sequence[Row], extra: Sequence[str]) -> list[Row]:
    due = f"COALESCE(o.run_at, {sql.later('COALESCE(o.delay, 0)')})"
    tick = sql.ticks(sql.latest(due, sql.now))
    values = {
        "id": "o.id",
        "name": "o.job_name",
        "queue_name": "o.queue",
        "state": f"'{State.READY.value}'",
        "priority": "o.its_priority",
        "lifo": "o.is_lifo",
        "run_after": due,
        "rank": f"o.base + CASE WHEN o.is_lifo THEN -{tick} ELSE {tick} END",
        "enqueued_at": sql.now,
        "fence": "0",
        "cancel_requested": "FALSE",
        "suspect": "FALSE",
        "attempt": "0",
        "max_attempts": "o.most_attempts",
        "starts": "0",
        "stalls": "0",
        "max_stalls": "o.most_stalls",
        "backoff": "o.its_backoff",
        "group": "''",
        "arguments": "o.arguments_text",
        "headers": "o.headers_text",
        "error": "''",
        "idempotency_key": "o.key_text",
        "key_digest": "o.key_digest",
        "key_expires_at": f"CASE WHEN o.key_seconds IS NULL THEN NULL ELSE {sql.later('o.key_seconds')} END",
        "arguments_digest": "o.arguments_digest",
    }
    values |= {f"keep_{name}": f"o.{name}" for name in extra}
    returning = f"id, rank, {sql.epoch('run_after')}, {sql.epoch('enqueued_at')}"
    return sql.insert(_COLUMNS | dict.fromkeys(extra, "bigint"), records, values, returning)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _record(sql: Dialect, job: NewJob, extra: Sequence[str]) -> Row:
    return (
        job.id,
        job.name,
        job.queue_name,
        job.priority,
        job.lifo,
        band(job.priority, job.lifo) * BAND_SIZE + (LAST_TICK if job.lifo else 0),
        sql.time_parameter(job.run_at),
        job.delay,
        job.max_attempts,
        job.max_stalls,
        job.backoff,
        job.arguments,
        job.headers,
        job.idempotency_key,
        job.key_digest,
        job.key_seconds,
        job.arguments_digest,
        *[getattr(job.keep, name, None) for name in extra],
    )
