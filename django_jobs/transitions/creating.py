"""create: nothing -> ready or blocked. Only inserts; a key is acquired here, and by who waits for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter

from django.db import transaction

from django_jobs.definitions.metadata import Fact, as_text
from django_jobs.models import Job, Metadata
from django_jobs.states import State
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import IDEMPOTENCY, Columns, Dialect, Of, Row, UniqueKey, portions
from django_jobs.transitions.transactions import after_own_collisions

# A statement of this many rows is about as cheap a row as one of more.
CHUNK = 1000


@dataclass(slots=True)
class NewJob:
    """A row to insert, complete but for what the database's clock decides.

    `job.run_after`: a moment; `delay`: seconds from the INSERT; neither: at once. The same for the expiry. It is not
    frozen, for that takes three times as long.
    """

    job: Job
    delay: float | None = None
    expires_after: float | None = None
    key_seconds: float | None = None
    metadata: Mapping[str, Fact] | None = None
    # For so long a deduplication key is held, if not while the job is alive.
    held_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """The row that has a key, and whether the promise of the key is over."""

    job: Job
    expired: bool


# Django's name of a field -> the type of its column, in the words of PostgreSQL.
_TYPES = {
    "UUIDField": "uuid",
    "CharField": "text",
    "TextField": "text",
    "BooleanField": "boolean",
    "SmallIntegerField": "bigint",
    "PositiveSmallIntegerField": "bigint",
    "IntegerField": "bigint",
    "PositiveIntegerField": "bigint",
    "BigIntegerField": "bigint",
    "FloatField": "float8",
    "DateTimeField": "timestamptz",
    "BinaryField": "bytea",
}
# What only the statement knows; every other column is stored as the row has it.
_DECIDED = ("state", "rank", "enqueued_at", "key_expires_at", "deduplication_expires_at")
_STORED = {
    field.attname: _TYPES[field.get_internal_type()]
    for field in Job._meta.concrete_fields
    if field.attname not in _DECIDED
}
_COLUMNS = {**_STORED, **dict.fromkeys(("delay", "expires_after", "key_seconds", "held_seconds"), "float8")}
_NAMES = list(_COLUMNS)
_stored_values = itemgetter(*_STORED)


def insert(
    using: str, drafts: Sequence[NewJob], *, unique: UniqueKey = IDEMPOTENCY, waiting: bool = False
) -> tuple[list[NewJob], list[NewJob]]:
    """Insert the jobs in the current transaction, and tell each row that was stored what the database decided.

    Return those that were stored, and the others, whose keys of the kind `unique` are taken. With `waiting` all are
    stored as blocked. Where the caller has no transaction open, a deadlock over a key does not reach them.
    """
    state = State.BLOCKED if waiting else State.READY

    def work() -> tuple[list[NewJob], list[NewJob]]:
        if not any(draft.metadata for draft in drafts):
            return _insert_all(using, drafts, unique, state)
        with transaction.atomic(using=using, savepoint=False):
            stored, others = _insert_all(using, drafts, unique, state)
            _insert_metadata(using, stored)
            return stored, others

    return after_own_collisions(using, "An insert of jobs", work)


def _insert_all(
    using: str, drafts: Sequence[NewJob], unique: UniqueKey, state: State
) -> tuple[list[NewJob], list[NewJob]]:
    if not drafts:
        return [], []
    sql = dialect(using)
    # By number: a UUID itself is hashed and compared in Python.
    inserted: dict[int, Row] = {}
    records = list(map(_record, _in_order_of_keys(drafts, unique)))
    insertion = _Insertion(_given(records), state)
    for some in portions(insertion.columns, map(itemgetter(*insertion.given), records)):
        inserted |= {sql.read_id(row[0]).int: row for row in sql.insert(insertion, some, unique)}
    stored: list[NewJob] = []
    others: list[NewJob] = []
    moments = _Moments()
    for draft in drafts:
        row = inserted.get(draft.job.id.int)
        if row is None:
            others.append(draft)
        else:
            _complete(draft, state, moments, *row[1:])
            stored.append(draft)
    return stored, others


def _in_order_of_keys(drafts: Sequence[NewJob], unique: UniqueKey) -> Sequence[NewJob]:
    """Return them so that two bulks with the same keys do not wait for each other crosswise, which is a deadlock."""
    if all(getattr(draft.job, unique.column) is None for draft in drafts):
        return drafts
    return sorted(drafts, key=lambda draft: bytes(getattr(draft.job, unique.column) or b""))


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


def _insert_metadata(using: str, drafts: Sequence[NewJob]) -> None:
    facts = [
        Metadata(job_id=draft.job.id, key=key, value=as_text(fact))
        for draft in drafts
        for key, fact in (draft.metadata or {}).items()
    ]
    Metadata.objects.using(using).bulk_create(facts, batch_size=CHUNK)


def _record(draft: NewJob) -> Row:
    return (*_stored_values(vars(draft.job)), draft.delay, draft.expires_after, draft.key_seconds, draft.held_seconds)


@dataclass(frozen=True, slots=True)
class _Insertion:
    """How jobs are stored of which the columns at these places are given."""

    given: tuple[int, ...]
    state: State

    @property
    def columns(self) -> Columns:
        return _columns_at(self.given)

    def values(self, sql: Dialect, of: Of) -> dict[str, str]:
        def later_if_given(column: str) -> str:
            return f"CASE WHEN {of(column)} IS NULL THEN NULL ELSE {sql.later(of(column))} END"

        columns = self.columns
        values = {name: of(name) for name in columns if name in _STORED}
        due = sql.later(f"COALESCE({of('delay')}, 0)") if "delay" in columns else sql.now
        if "run_after" in columns:
            due = f"COALESCE({of('run_after')}, {due})"
        values["state"] = f"'{self.state.value}'"
        values["run_after"] = due
        values["rank"] = sql.rank(due if due == sql.now else sql.latest(due, sql.now), of("priority"), of("lifo"))
        values["enqueued_at"] = sql.now
        if "expires_after" in columns:
            expires = later_if_given("expires_after")
            values["expires_at"] = f"COALESCE({of('expires_at')}, {expires})" if "expires_at" in columns else expires
        if "key_seconds" in columns:
            values["key_expires_at"] = later_if_given("key_seconds")
        if "held_seconds" in columns:
            values["deduplication_expires_at"] = later_if_given("held_seconds")
        return values

    def returning(self, sql: Dialect) -> str:
        return f"id, rank, {sql.epoch('run_after')}, {sql.epoch('enqueued_at')}, {sql.epoch('expires_at')}"


@lru_cache(maxsize=1000)
def _columns_at(places: tuple[int, ...]) -> Columns:
    return {_NAMES[index]: _COLUMNS[_NAMES[index]] for index in places}


def _given(records: Sequence[Row]) -> tuple[int, ...]:
    """Return the places of the columns that have values: most are empty in all, and each costs its part."""
    if len(records) == 1:
        return tuple([index for index, value in enumerate(records[0]) if value is not None])
    columns = zip(*records, strict=True)
    return tuple([index for index, values in enumerate(columns) if values.count(None) < len(values)])


class _Moments(dict[float, datetime]):
    """Moments by their seconds since 1970: what one statement has stored at once shares them."""

    def __missing__(self, seconds: float) -> datetime:
        moment = self[seconds] = datetime.fromtimestamp(seconds, UTC)
        return moment


def _complete(
    draft: NewJob,
    state: State,
    moments: _Moments,
    rank: int,
    run_after: float,
    enqueued_at: float,
    expires_at: float | None,
) -> None:
    job = draft.job
    job.state = state
    job.rank = rank
    job.enqueued_at = moments[enqueued_at]
    # A moment that the caller gave is stored as it is; far away, a number of seconds is not that exact.
    given: datetime | None = job.run_after
    if given is None:
        job.run_after = moments[run_after]
    if draft.expires_after is not None and expires_at is not None:
        job.expires_at = datetime.fromtimestamp(expires_at, UTC)
    if draft.key_seconds is not None:
        job.key_expires_at = job.enqueued_at + timedelta(seconds=draft.key_seconds)
    if draft.held_seconds is not None:
        job.deduplication_expires_at = job.enqueued_at + timedelta(seconds=draft.held_seconds)
