"""create: nothing -> ready or blocked. Only inserts; a key is acquired here, and by who waits for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction

from django_jobs.definitions.metadata import as_text
from django_jobs.models import Job, Metadata
from django_jobs.states import State
from django_jobs.transitions.drafts import NewJob, table_of
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect
from django_jobs.transitions.sql.records import Row
from django_jobs.transitions.transactions import after_own_collisions

# A statement of this many rows is about as cheap a row as one of more.
CHUNK = 1000
# To send two statements costs more than to wait for one of so few rows.
FEWEST_IN_HALVES = 100
_DECIDED = ("state", "rank", "run_after", "enqueued_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Holder:
    """The row that has a key, and whether the promise of the key is over."""

    job: Job
    expired: bool


def insert(using: str, drafts: Sequence[NewJob], *, waiting: bool = False) -> tuple[list[NewJob], list[NewJob]]:
    """Insert the jobs in the current transaction, and tell each row that was stored what the database decided.

    Return those that were stored, and the others, whose keys are taken. With `waiting` all are stored as blocked. Where
    the caller has no transaction open, a deadlock over a key does not reach them.
    """
    if not drafts:
        return [], []
    state = State.BLOCKED if waiting else State.READY

    def work() -> tuple[list[NewJob], list[NewJob]]:
        if not any(draft.template.metadata for draft in drafts):
            return _send(dialect(using), drafts, state)()
        with transaction.atomic(using=using, savepoint=False):
            stored, others = _send(dialect(using), drafts, state)()
            _insert_metadata(using, stored)
            return stored, others

    return after_own_collisions(using, "An insert of jobs", work)


def insert_made(
    using: str,
    count: int,
    make: Callable[[int, int], Sequence[NewJob]],
    stored: Callable[[Sequence[NewJob]], object],
) -> None:
    """Insert jobs without keys and metadata, of which `make` makes those between two places, and tell of the stored.

    In the current transaction. Where it can, the database stores the first half while the second half is made.
    """
    sql = dialect(using)
    with sql.pipelined() as is_pipelined:
        middle = count // 2 if is_pipelined and count >= FEWEST_IN_HALVES else count
        halves = [
            _send(sql, make(begin, end), State.READY) for begin, end in ((0, middle), (middle, count)) if begin < end
        ]
        for receive in halves:
            stored(receive()[0])


def _send(sql: Dialect, drafts: Sequence[NewJob], state: State) -> Callable[[], tuple[list[NewJob], list[NewJob]]]:
    """Send the jobs to the database; return what waits for the answer, and tells who was stored and who was not."""
    insertion, table = table_of(_in_order_of_keys(drafts), state)
    sent = [(part, sql.insert(insertion, part)) for part in table.portions(insertion.columns)]

    def receive() -> tuple[list[NewJob], list[NewJob]]:
        if not insertion.is_uniform:
            return _complete_each(sql, drafts, state, [row for _, answer in sent for row in answer()])
        begin = 0
        for part, answer in sent:
            _complete_alike(drafts[begin : begin + len(part)], state, answer()[0])
            begin += len(part)
        return list(drafts), []

    return receive


def _in_order_of_keys(drafts: Sequence[NewJob]) -> Sequence[NewJob]:
    """Return them so that two bulks with the same keys do not wait for each other crosswise, which is a deadlock."""
    if len(drafts) == 1:
        return drafts
    unique = next((unique for draft in drafts if (unique := draft.template.unique) is not None), None)
    if unique is None:
        return drafts
    column = unique.column
    return sorted(drafts, key=lambda draft: bytes(getattr(draft.job, column) or b""))


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
        for key, fact in (draft.template.metadata or {}).items()
    ]
    Metadata.objects.using(using).bulk_create(facts, batch_size=CHUNK)


def _complete_each(
    sql: Dialect, drafts: Sequence[NewJob], state: State, rows: Sequence[Row]
) -> tuple[list[NewJob], list[NewJob]]:
    # By number: a UUID itself is hashed and compared in Python.
    decided = {sql.read_id(row[0]).int: row for row in rows}
    stored: list[NewJob] = []
    others: list[NewJob] = []
    for draft in drafts:
        row = decided.get(draft.job.id.int)
        if row is None:
            others.append(draft)
        else:
            _complete(draft, state, *row[1:])
            stored.append(draft)
    return stored, others


def _complete_alike(drafts: Sequence[NewJob], state: State, row: Row) -> None:
    """What was decided for one was decided for all; they share its moments."""
    first = vars(drafts[0].job)
    _complete(drafts[0], state, *row[1:])
    decided = {name: first[name] for name in _DECIDED}
    for draft in drafts[1:]:
        vars(draft.job).update(decided)


def _complete(
    draft: NewJob, state: State, rank: int, run_after: float, enqueued_at: float, expires_at: float | None
) -> None:
    job, template = draft.job, draft.template
    job.state = state
    job.rank = rank
    job.enqueued_at = datetime.fromtimestamp(enqueued_at, UTC)
    # A moment that the caller gave is stored as it is; far away, a number of seconds is not that exact.
    given: datetime | None = job.run_after
    if given is None:
        job.run_after = job.enqueued_at if run_after == enqueued_at else datetime.fromtimestamp(run_after, UTC)
    if template.expires_after is not None and expires_at is not None:
        job.expires_at = datetime.fromtimestamp(expires_at, UTC)
    if template.key_seconds is not None:
        job.key_expires_at = job.enqueued_at + timedelta(seconds=template.key_seconds)
    if template.held_seconds is not None:
        job.deduplication_expires_at = job.enqueued_at + timedelta(seconds=template.held_seconds)
