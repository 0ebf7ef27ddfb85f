"""rescue: running -> ready, failed or cancelled, once the owner is dead. And who is dead: one way, for ever."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connections

from django_jobs.definitions.outcomes import Claim
from django_jobs.models import Attempt, Job, Worker
from django_jobs.states import GIVE_BACK, RESCUE, State
from django_jobs.transitions.deduplicating import given_back, slot_at_end
from django_jobs.transitions.ending import STARTED_TOO_OFTEN
from django_jobs.transitions.keeping import keep_until
from django_jobs.transitions.sql import dialect

CHUNK = 500
DIED = "The worker died while it ran this job."
DIED_TOO_OFTEN = f"{DIED} That was once too often."


@dataclass(frozen=True, slots=True)
class Rescued:
    """A row that was taken from a dead worker, as it is now."""

    id: UUID
    name: str
    queue_name: str
    rank: int
    state: State
    suspect: bool
    error: str
    # The deduplication key that it has given back.
    given_back: bytes | None = None


def beat(using: str, workers: Collection[UUID]) -> set[UUID]:
    """Say that these workers are alive; return those that still count as alive."""
    if not workers:
        return set()
    sql = dialect(using)
    among, parameters = sql.among("id", workers)
    table = _table(using, Worker)
    sql.execute(f"UPDATE {table} SET beat_at = {sql.now} WHERE {among} AND dead_at IS NULL", parameters)
    rows = sql.query(f"SELECT id FROM {table} WHERE {among} AND dead_at IS NULL", parameters)
    return {sql.read_id(row[0]) for row in rows}


def extend(using: str, claim: Claim, seconds: float) -> bool:
    """Say that a running job may take so many seconds from now on, if the claim still holds; return whether it does."""
    sql = dialect(using)
    sets, guard = f"deadline_at = {sql.later('%s')}", "id = %s AND state = 'running' AND fence = %s AND owner = %s"
    mine = [sql.id_parameter(claim.id), claim.fence, sql.id_parameter(claim.owner)]
    return bool(sql.update(sets, [seconds], guard, mine, "id"))


def silent(using: str, seconds: float) -> tuple[list[UUID], int]:
    """Return the workers that count as alive but have not beaten for so long, and how many count as alive in all."""
    sql = dialect(using)
    rows = sql.query(
        f"SELECT id, CASE WHEN beat_at < {sql.later('%s')} THEN 1 ELSE 0 END "
        f"FROM {_table(using, Worker)} WHERE dead_at IS NULL",
        [-seconds],
    )
    return [sql.read_id(id) for id, is_silent in rows if is_silent], len(rows)


def mark_dead(using: str, workers: Collection[UUID], *, silent_seconds: float | None = None, died: bool = True) -> int:
    """Declare workers dead, for ever; with `silent_seconds` only those that have really not beaten for so long."""
    if not workers:
        return 0
    sql = dialect(using)
    among, parameters = sql.among("id", workers)
    late = "" if silent_seconds is None else f" AND beat_at < {sql.later('%s')}"
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"UPDATE {_table(using, Worker)} SET dead_at = {sql.now}, died = %s "
            f"WHERE {among} AND dead_at IS NULL{late}",
            [died, *parameters, *([] if silent_seconds is None else [-silent_seconds])],
        )
        return int(cursor.rowcount)


def orphans(using: str, limit: int = CHUNK) -> list[UUID]:
    """Return ids of running jobs whose owner is not alive: declared dead, or without a row."""
    sql = dialect(using)
    rows = sql.query(
        f"SELECT j.id FROM {sql.job} AS j WHERE j.state = 'running' AND NOT EXISTS "
        f"(SELECT 1 FROM {_table(using, Worker)} AS w WHERE w.id = j.owner AND w.dead_at IS NULL) LIMIT %s",
        [limit],
    )
    # Not ORDER BY: a database that is told to order by id may read the whole table by id.
    return sorted(sql.read_id(row[0]) for row in rows)


def owned(using: str, worker: UUID) -> list[tuple[UUID, int]]:
    """Return id and fence of every running job of a worker."""
    sql = dialect(using)
    rows = sql.query(
        f"SELECT id, fence FROM {sql.job} WHERE state = 'running' AND owner = %s", [sql.id_parameter(worker)]
    )
    return sorted((sql.read_id(id), fence) for id, fence in rows)


def rescue(using: str, ids: Sequence[UUID], *, begun: Collection[UUID] | None = None) -> list[Rescued]:
    """Take these running jobs from owners that are not alive; at most CHUNK of them in a transaction.

    `begun` names those whose bodies had started in the dead process; None: nobody knows, so that counts for all but
    those that waited for their batch. These have seen one death more, and are suspects from the second on: they start
    alone next time. The others go back as if nothing had happened.
    """
    if begun is None:
        begun = set(Job.objects.using(using).filter(pk__in=ids, started_at__isnull=False).values_list("pk", flat=True))
    blamed = [each for each in ids if each in begun]
    spared = [each for each in ids if each not in begun]
    rescued = _take_blamed(using, blamed) if blamed else []
    return rescued + (_take_spared(using, spared) if spared else [])


def release(using: str, worker: UUID, claims: Sequence[tuple[UUID, int]]) -> list[Rescued]:
    """Give back running jobs of a live worker that does not know them, each given as id and fence."""
    sql = dialect(using)
    released: list[Rescued] = []
    for id, fence in claims:
        released += _give_back(
            using,
            "id = %s AND fence = %s AND owner = %s AND state = 'running'",
            [sql.id_parameter(id), fence, sql.id_parameter(worker)],
        )
    return released


def _take_blamed(using: str, ids: Sequence[UUID]) -> list[Rescued]:
    running = Job.objects.using(using).filter(pk__in=ids, state=State.RUNNING).order_by("pk")
    # Locked before the attempt is recorded: of two rescuers one does, and nobody for a row that it cannot have.
    ids = list(running.select_for_update(skip_locked=True).values_list("pk", flat=True))
    if not ids:
        return []
    sql = dialect(using)
    among, parameters = sql.among("id", ids)
    too_many_deaths, too_many_starts = "stalls + 1 > max_stalls", "starts >= max_starts"
    # The first death is taken for chance, and whoever ran there starts again at once. But nobody fails for a death that
    # a neighbour may have brought about, so the last but one makes a suspect in any case.
    becomes_suspect = "stalls > 0 OR max_stalls <= 1"
    ends = f"cancel_requested OR {too_many_deaths} OR COALESCE({too_many_starts}, FALSE)"
    where = f"{among} AND {_orphaned(using)}"
    _keep_stalls(using, ids)
    # Old values are read before they change: MySQL assigns from left to right.
    sets = (
        f"state = CASE WHEN cancel_requested THEN '{State.CANCELLED.value}' "
        f"WHEN {ends} THEN '{State.FAILED.value}' ELSE '{RESCUE.target.value}' END, "
        f"error = CASE WHEN cancel_requested THEN error WHEN {too_many_deaths} THEN %s "
        f"WHEN {too_many_starts} THEN %s ELSE error END, "
        f"finished_at = CASE WHEN {ends} THEN {sql.now} ELSE NULL END, "
        f"keep_until = CASE WHEN cancel_requested THEN {keep_until(sql, State.CANCELLED)} "
        f"WHEN {ends} THEN {keep_until(sql, State.FAILED)} ELSE NULL END, "
        f"deduplication_slot = CASE WHEN {ends} THEN {slot_at_end()} ELSE deduplication_slot END, "
        f"attempt = CASE WHEN {ends} THEN attempt ELSE attempt - 1 END, "
        f"owner = CASE WHEN {ends} THEN owner ELSE NULL END, deadline_at = NULL, "
        f"suspect = NOT ({ends}) AND ({becomes_suspect}), stalls = stalls + 1"
    )
    return _taken(using, sets, [DIED_TOO_OFTEN, STARTED_TOO_OFTEN], where, parameters)


def _take_spared(using: str, ids: Sequence[UUID]) -> list[Rescued]:
    among, parameters = dialect(using).among("id", ids)
    return _give_back(using, f"{among} AND {_orphaned(using)}", parameters)


def _give_back(using: str, where: str, parameters: Sequence[object]) -> list[Rescued]:
    """As if it had never been claimed."""
    sql = dialect(using)
    sets = (
        f"state = CASE WHEN cancel_requested THEN '{State.CANCELLED.value}' ELSE '{GIVE_BACK.target.value}' END, "
        f"finished_at = CASE WHEN cancel_requested THEN {sql.now} ELSE NULL END, "
        f"keep_until = CASE WHEN cancel_requested THEN {keep_until(sql, State.CANCELLED)} ELSE NULL END, "
        f"deduplication_slot = CASE WHEN cancel_requested THEN {slot_at_end()} ELSE deduplication_slot END, "
        "started_at = NULL, attempt = attempt - 1, starts = starts - 1, owner = NULL, deadline_at = NULL"
    )
    return _taken(using, sets, [], where, parameters)


def _taken(
    using: str, sets: str, set_parameters: Sequence[object], where: str, parameters: Sequence[object]
) -> list[Rescued]:
    sql = dialect(using)
    returning = f"id, name, queue_name, rank, state, suspect, error, {given_back()}"
    return [
        Rescued(
            sql.read_id(id),
            name,
            queue_name,
            int(rank),
            State(state),
            bool(suspect),
            error,
            None if key is None else bytes(key),
        )
        for id, name, queue_name, rank, state, suspect, error, key in sql.update(
            sets, set_parameters, where, parameters, returning, skip_locked=True
        )
    ]


def _keep_stalls(using: str, ids: Sequence[UUID]) -> None:
    """Record the attempt that the death of the worker cut off: every restart is explained."""
    sql = dialect(using)
    among, parameters = sql.among("j.id", ids)
    attempts = _table(using, Attempt)
    sql.execute(
        f"INSERT INTO {attempts} "
        "(job_id, number, worker, started_at, finished_at, outcome, error_class, message, traceback) "
        f"SELECT j.id, j.attempt, j.owner, j.started_at, {sql.now}, 'stalled', '', %s, '' FROM {sql.job} AS j "
        f"WHERE {among} AND {_orphaned(using, 'j.')}",
        [DIED, *parameters],
    )


def _orphaned(using: str, prefix: str = "") -> str:
    return (
        f"{prefix}state = 'running' AND NOT EXISTS (SELECT 1 FROM {_table(using, Worker)} AS w "
        f"WHERE w.id = {prefix}owner AND w.dead_at IS NULL)"
    )


def _table(using: str, model: type[Attempt] | type[Worker] | type[Job]) -> str:
    return connections[using].ops.quote_name(model._meta.db_table)
