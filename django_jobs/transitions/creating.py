"""create: nothing -> ready. Only inserts; a key is acquired here and nowhere else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from django_jobs.definitions.keeping import StoredKeep
from django_jobs.definitions.metadata import Fact, as_text, metadata_text
from django_jobs.definitions.rank import BAND_SIZE, LAST_TICK, band
from django_jobs.models import Job, Metadata
from django_jobs.states import State
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect, Row, portions

# A statement of this many rows is about as cheap a row as one of more.
CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A row to insert. `run_at`: a moment; `delay`: seconds from the INSERT; neither: at once. The same for expiry."""

    id: UUID
    name: str
    queue_name: str
    priority: int
    lifo: bool
    run_at: datetime | None
    delay: float | None
    expires_at: datetime | None
    expires_after: float | None
    max_attempts: int
    timeout: float | None
    max_stalls: int
    max_starts: int | None
    backoff: str
    arguments: str
    headers: str
    idempotency_key: str | None
    key_digest: bytes | None
    key_seconds: float | None
    arguments_digest: bytes | None
    keep: StoredKeep | None = None
    metadata: Mapping[str, Fact] | None = None

    @property
    def metadata_text(self) -> str | None:
        return None if self.metadata is None else metadata_text(self.metadata)

    @property
    def keep_columns(self) -> dict[str, int | None]:
        keep = self.keep
        return {} if keep is None else {name: each.value(self) for name, each in _KEEP_COLUMNS.items()}


@dataclass(frozen=True, slots=True)
class Inserted:
    """What the database decided: the rank, and its times."""

    rank: int
    run_after: datetime
    enqueued_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holder:
    """The row that has a key, and whether the promise of the key is over."""

    job: Job
    expired: bool


@dataclass(frozen=True, slots=True)
class _Extra:
    """A column that most jobs leave empty: its name and type in the statement, and what a job has in it."""

    column: str
    kind: str
    value: Callable[[NewJob], Any]


_KEEP_COLUMNS = {
    f"keep_{name}": _Extra(name, "bigint", partial(lambda name, job: getattr(job.keep, name, None), name))
    for name in ("successful", "failed", "successful_count", "failed_count")
}
_METADATA_COLUMN = {"metadata_text": _Extra("facts", "text", lambda job: job.metadata_text)}
_COLUMNS = {
    "id": "uuid",
    "job_name": "text",
    "queue": "text",
    "its_priority": "bigint",
    "is_lifo": "boolean",
    "base": "bigint",
    "run_at": "timestamptz",
    "delay": "float8",
    "expire_at": "timestamptz",
    "expire_after": "float8",
    "most_attempts": "bigint",
    "seconds": "float8",
    "most_stalls": "bigint",
    "most_starts": "bigint",
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
    if any(job.metadata is not None for job in jobs):
        with transaction.atomic(using=using, savepoint=False):
            inserted = _insert_all(using, jobs)
            _insert_metadata(using, jobs, inserted)
            return inserted
    return _insert_all(using, jobs)


def _insert_all(using: str, jobs: Sequence[NewJob]) -> dict[UUID, Inserted]:
    sql = dialect(using)
    # A moment that the caller gave is stored as it is; far away, a number of seconds is not that exact.
    given = {job.id: (job.run_at, job.expires_at) for job in jobs}
    inserted: dict[UUID, Inserted] = {}
    extra = _extra_columns(jobs)
    for records in portions([_record(sql, job, extra) for job in jobs]):
        for row in _insert(sql, records, extra):
            id, rank, run_after, enqueued_at, expires_at = row
            id = sql.read_id(id)
            run_at, expire_at = given[id]
            inserted[id] = Inserted(
                int(rank),
                run_at or _moment(run_after),
                _moment(enqueued_at),
                expire_at or (None if expires_at is None else _moment(expires_at)),
            )
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


def _extra_columns(jobs: Sequence[NewJob]) -> dict[str, _Extra]:
    """Return the columns that most jobs leave empty: they travel only where one of these does not."""
    keep = any(job.keep is not None for job in jobs)
    metadata = any(job.metadata is not None for job in jobs)
    return (_KEEP_COLUMNS if keep else {}) | (_METADATA_COLUMN if metadata else {})


def _insert_metadata(using: str, jobs: Sequence[NewJob], inserted: Collection[UUID]) -> None:
    facts = [
        Metadata(job_id=job.id, key=key, value=as_text(fact))
        for job in jobs
        if job.id in inserted
        for key, fact in (job.metadata or {}).items()
    ]
    Metadata.objects.using(using).bulk_create(facts, batch_size=CHUNK)


def _insert(sql: Dialect, records: Sequence[Row], extra: Mapping[str, _Extra]) -> list[Row]:
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
        "expires_at": f"COALESCE(o.expire_at, {_later_if_given(sql, 'o.expire_after')})",
        "enqueued_at": sql.now,
        "fence": "0",
        "cancel_requested": "FALSE",
        "suspect": "FALSE",
        "attempt": "0",
        "max_attempts": "o.most_attempts",
        "starts": "0",
        "stalls": "0",
        "timeout": "o.seconds",
        "max_stalls": "o.most_stalls",
        "max_starts": "o.most_starts",
        "backoff": "o.its_backoff",
        "group": "''",
        "arguments": "o.arguments_text",
        "headers": "o.headers_text",
        "error": "''",
        "idempotency_key": "o.key_text",
        "key_digest": "o.key_digest",
        "key_expires_at": _later_if_given(sql, "o.key_seconds"),
        "arguments_digest": "o.arguments_digest",
    }
    values |= {name: f"o.{each.column}" for name, each in extra.items()}
    returning = f"id, rank, {sql.epoch('run_after')}, {sql.epoch('enqueued_at')}, {sql.epoch('expires_at')}"
    return sql.insert(_COLUMNS | {each.column: each.kind for each in extra.values()}, records, values, returning)


def _later_if_given(sql: Dialect, seconds: str) -> str:
    return f"CASE WHEN {seconds} IS NULL THEN NULL ELSE {sql.later(seconds)} END"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _record(sql: Dialect, job: NewJob, extra: Mapping[str, _Extra]) -> Row:
    return (
        job.id,
        job.name,
        job.queue_name,
        job.priority,
        job.lifo,
        band(job.priority, job.lifo) * BAND_SIZE + (LAST_TICK if job.lifo else 0),
        sql.time_parameter(job.run_at),
        job.delay,
        sql.time_parameter(job.expires_at),
        job.expires_after,
        job.max_attempts,
        job.timeout,
        job.max_stalls,
        job.max_starts,
        job.backoff,
        job.arguments,
        job.headers,
        job.idempotency_key,
        job.key_digest,
        job.key_seconds,
        job.arguments_digest,
        *[each.value(job) for each in extra.values()],
    )
