"""claim: ready -> running. The one guarded UPDATE that decides whether a job may run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim
from django_jobs.models import Queue, Worker
from django_jobs.states import CLAIM
from django_jobs.transitions.due import due_ranges, now, ready
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect, unseen

# A taken id may be this much early by the database's clock: the take reckons with a clock that is a round trip old.
TOLERATED_SECONDS = 0.05
# By which a look finds the best ranks, and a claim the ids that it was given.
READY_INDEX, ID_INDEX = "django_jobs_ready", "PRIMARY"


@dataclass(frozen=True, slots=True)
class Leftover:
    """An id that was taken but not claimed, and why the row is as it is: still startable, or of no more interest."""

    id: UUID
    queue_name: str
    rank: int
    startable: bool
    known: bool


def claim_ids(
    using: str,
    worker: UUID,
    ids: Collection[UUID],
    names: Sequence[str],
    limit: int | None = None,
    *,
    begin_later: Sequence[str] = (),
) -> list[Claim]:
    """Claim those of the ids that may start now, the first `limit` of them, in their order, if the worker is alive.

    `begin_later`: of these names, claims wait for others before their bodies `begin`.
    """
    if not ids:
        return []
    sql = dialect(using)
    among, parameters = sql.among("id", ids)
    due = f"run_after <= {sql.later(str(TOLERATED_SECONDS))}"
    order = "rank, id" if limit is None or limit >= len(ids) else sql.place("id", ids)
    claims = _claim(
        sql,
        worker,
        names,
        f"{among} AND {due} AND {unseen(ready(sql, suspect=False))}",
        parameters,
        order=order,
        index=ID_INDEX,
        limit=limit,
        begin_later=begin_later,
    )
    # By number: that of a UUID itself is hashed and compared in Python.
    position = {each.int: index for index, each in enumerate(ids)}
    return sorted(claims, key=lambda claim: position[claim.id.int])


def claim_due(
    using: str,
    worker: UUID,
    queue_names: Sequence[str],
    limit: int,
    names: Sequence[str] | None,
    *,
    suspect: bool = False,
    shares: Sequence[int] = (),
    begin_later: Sequence[str] = (),
) -> list[Claim]:
    """Look into the table and claim up to `limit` jobs that are due: queues as given, best rank first within each.

    `names` are the jobs that the worker can run; None: any. `shares`: as in a transport's `take`. `begin_later`: as
    for `claim_ids`.
    """
    present = now(using)
    claims: list[Claim] = []
    exhausted: set[str] = set()
    for queue_name, share in (*zip(queue_names, shares), *((name, limit) for name in queue_names)):  # noqa: B905
        most = min(share, limit - len(claims))
        if most > 0 and queue_name not in exhausted:
            found = _claim_due_in(using, worker, queue_name, most, names, present, suspect, begin_later)
            claims += found
            if len(found) < most:
                exhausted.add(queue_name)
    return claims


def _claim_due_in(
    using: str,
    worker: UUID,
    queue_name: str,
    limit: int,
    names: Sequence[str] | None,
    present: datetime,
    suspect: bool,
    begin_later: Sequence[str],
) -> list[Claim]:
    sql = dialect(using)
    claims: list[Claim] = []
    for first, last in due_ranges(using, queue_name, present, suspect=suspect):
        found = _claim(
            sql,
            worker,
            names,
            f"queue_name = %s AND rank BETWEEN %s AND %s AND {ready(sql, suspect)}",
            [queue_name, first, last],
            order="rank, id",
            index=READY_INDEX,
            limit=limit - len(claims),
            begin_later=begin_later,
        )
        claims += sorted(found, key=lambda claim: (claim.rank, claim.id))
        if len(claims) >= limit:
            break
    return claims


def begin(using: str, worker: UUID, claims: Sequence[Claim]) -> set[tuple[UUID, int]]:
    """Let the bodies of claims begin that have waited; return id and fence of those that still may.

    The others are not this worker's any more, were cancelled, have expired, or their queue was paused.
    """
    sql = dialect(using)
    among, parameters = sql.among("id", [claim.id for claim in claims])
    times, _ = _times(sql)
    rows = sql.update(
        times,
        [],
        f"{among} AND "
        + unseen(
            f"state = '{CLAIM.target.value}' AND owner = %s AND NOT cancel_requested "
            f"AND (expires_at IS NULL OR starts > 1 OR expires_at > {sql.now}) AND {_not_paused(sql)}"
        ),
        [*parameters, sql.id_parameter(worker)],
        "id, fence",
        index=ID_INDEX,
        skip_locked=True,
    )
    return {(sql.read_id(id), fence) for id, fence in rows} & {(claim.id, claim.fence) for claim in claims}


def leftovers(using: str, ids: Collection[UUID], names: Sequence[str]) -> list[Leftover]:
    """Look at the rows of ids that were taken but not claimed. Rows that are gone are not returned."""
    if not ids:
        return []
    sql = dialect(using)
    among, parameters = sql.among("id", ids)
    startable = f"{ready(sql, False)} AND NOT cancel_requested AND {_not_expired(sql)}"
    rows = sql.query(
        f"SELECT id, queue_name, rank, CASE WHEN {startable} THEN 1 ELSE 0 END, name FROM {sql.job} WHERE {among}",
        parameters,
    )
    known = set(names)
    return [
        Leftover(sql.read_id(id), queue_name, int(rank), bool(free), name in known)
        for id, queue_name, rank, free, name in rows
    ]


def _claim(
    sql: Dialect,
    worker: UUID,
    names: Sequence[str] | None,
    where: str,
    parameters: Sequence[Any],
    *,
    order: str,
    index: str,
    limit: int | None,
    begin_later: Sequence[str],
) -> list[Claim]:
    known, known_parameters = ("1 = 1", []) if names is None else sql.among("name", names)
    quote = connections[sql.connection.alias].ops.quote_name
    workers = quote(Worker._meta.db_table)
    guard = f"{where} AND NOT cancel_requested AND {_not_expired(sql)} AND {known} AND {_not_paused(sql)}"
    # By the claim: the body may begin, and so end, a moment later.
    times, times_parameters = _times(sql, begin_later)
    rows = sql.update(
        f"state = '{CLAIM.target.value}', owner = %s, fence = fence + 1, attempt = attempt + 1, starts = starts + 1, "
        f"{times}",
        [sql.id_parameter(worker), *times_parameters],
        guard,
        [*parameters, *known_parameters],
        "id, name, queue_name, rank, fence, attempt, starts, max_attempts, timeout, backoff, arguments, headers, "
        f"{sql.epoch('enqueued_at')}, {sql.epoch('expires_at')} - {sql.epoch(sql.now)}",
        order=order,
        index=index,
        limit=limit,
        skip_locked=True,
        also=f"EXISTS (SELECT 1 FROM {workers} AS w WHERE w.id = %s AND w.dead_at IS NULL)",
        also_parameters=[sql.id_parameter(worker)],
    )
    return [_read(sql, worker, *row) for row in rows]


def _read(
    sql: Dialect,
    worker: UUID,
    id: Any,
    name: str,
    queue_name: str,
    rank: Any,
    fence: int,
    attempt: int,
    starts: int,
    max_attempts: int,
    timeout: float | None,
    backoff: str,
    arguments: str,
    headers: str,
    enqueued: float,
    time_left: float | None,
) -> Claim:
    return Claim(
        id=sql.read_id(id),
        name=name,
        queue_name=queue_name,
        rank=int(rank),
        fence=fence,
        attempt=attempt,
        starts=starts,
        max_attempts=max_attempts,
        owner=worker,
        arguments=arguments,
        headers=headers,
        backoff=backoff,
        enqueued=enqueued,
        timeout=timeout,
        # One that was started before has kept its time.
        expires=None if time_left is None or starts > 1 else clock.monotonic() + time_left,
    )


def _times(sql: Dialect, not_of: Sequence[str] = ()) -> tuple[str, list[Any]]:
    """Return what sets the times of a body that begins, except in rows of these names, and the parameters."""
    started, deadline = sql.now, f"CASE WHEN timeout IS NULL THEN NULL ELSE {sql.later('timeout')} END"
    if not not_of:
        return f"started_at = {started}, deadline_at = {deadline}", []
    later, names = sql.among("name", not_of)
    return (
        f"started_at = CASE WHEN {later} THEN NULL ELSE {started} END, "
        f"deadline_at = CASE WHEN {later} THEN NULL ELSE {deadline} END",
        [*names, *names],
    )


def _not_paused(sql: Dialect) -> str:
    table = connections[sql.connection.alias].ops.quote_name(Queue._meta.db_table)
    return f"queue_name NOT IN (SELECT q.name FROM {table} AS q WHERE q.paused)"


def _not_expired(sql: Dialect) -> str:
    """Expiry is about the first start: a job that was started in time may be tried again later."""
    return f"(expires_at IS NULL OR starts > 0 OR expires_at > {sql.now})"
