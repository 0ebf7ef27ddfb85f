"""cancel, retry by hand, run now, reschedule, reprioritise: what people do to jobs, at most CHUNK at a time."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from django_jobs.definitions.rank import BAND_SIZE, HIGHEST_PRIORITY, LOWEST_PRIORITY
from django_jobs.models.job import HOLDER
from django_jobs.states import CANCEL, RETRY_BY_HAND, Move, State
from django_jobs.transitions.deduplicating import given_back, holders, slot_at_end, without_their_key
from django_jobs.transitions.keeping import keep_until
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect, unseen
from django_jobs.transitions.sql.records import Row

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Moved:
    """A row that a verb changed, as it is now."""

    id: UUID
    queue_name: str
    rank: int
    suspect: bool
    # The deduplication key that it has given back.
    given_back: bytes | None = None


_RETURNING = f"id, queue_name, rank, suspect, {given_back()}"


def cancel(using: str, ids: Collection[UUID], reason: str) -> list[Moved]:
    """Cancel those that have not started, and flag those that run: every end of theirs but success becomes cancelled.

    The reason goes into `error` at once, and what ends a flagged job leaves it there. In one statement: between two
    a job could go from one kind to the other, and none would see it.
    """
    sql = dialect(using)
    runs = "state = 'running'"
    # The state comes last: MySQL assigns from left to right.
    sets = (
        f"cancel_requested = {runs}, cancel_requested_at = {sql.now}, error = %s, "
        f"finished_at = CASE WHEN {runs} THEN NULL ELSE {sql.now} END, "
        f"keep_until = CASE WHEN {runs} THEN NULL ELSE {keep_until(sql, State.CANCELLED)} END, "
        # One that waits for a key has none to give back.
        f"deduplication_slot = CASE WHEN state = 'ready' THEN {slot_at_end()} ELSE deduplication_slot END, "
        f"state = CASE WHEN {runs} THEN state ELSE '{CANCEL.target.value}' END"
    )
    return _move(sql, sets, [reason[:500]], ids, f"({_from(CANCEL)} OR ({runs} AND NOT cancel_requested))")


def asked_to_cancel(using: str, owner: UUID) -> dict[tuple[UUID, int], str]:
    """Return the running jobs of a worker that were asked to cancel, by id and fence, with the reasons."""
    sql = dialect(using)
    rows = sql.query(
        f"SELECT id, fence, error FROM {sql.job} WHERE state = 'running' AND owner = %s AND cancel_requested",
        [sql.id_parameter(owner)],
    )
    return {(sql.read_id(id), fence): reason for id, fence, reason in rows}


def retry(using: str, ids: Collection[UUID], *, reset_attempts: bool) -> list[Moved]:
    """Make those that have ended ready again, at once. One whose deduplication key is held by another stays."""
    sql = dialect(using)
    attempts = "attempt = 0, " if reset_attempts else "max_attempts = max_attempts + 1, "
    sets = (
        f"state = '{RETRY_BY_HAND.target.value}', {attempts}starts = 0, stalls = 0, suspect = FALSE, "
        "cancel_requested = FALSE, cancel_requested_at = NULL, expires_at = NULL, error = '', result_text = NULL, "
        "owner = NULL, started_at = NULL, finished_at = NULL, keep_until = NULL, "
        f"run_after = {sql.now}, rank = {sql.rank(sql.now)}"
    )
    keyed = without_their_key(using, ids)
    # One that has ended since, and so has given its key back, must not start without asking for it.
    has_lost_its_key = "deduplication_digest IS NOT NULL AND COALESCE(deduplication_slot, id) = id"
    others = [id for id in ids if id not in keyed]
    moved = _move(sql, sets, [], others, f"{_from(RETRY_BY_HAND)} AND NOT ({has_lost_its_key})")
    if not keyed:
        return moved
    sets, holder = f"{sets}, deduplication_slot = %s", sql.id_parameter(HOLDER)
    held = {digest for digest, job in holders(using, keyed.values()).items() if job.deduplication_slot == HOLDER}
    for id in sorted(id for id, digest in keyed.items() if digest not in held):
        with suppress(IntegrityError), transaction.atomic(using=using):
            moved += _move(sql, sets, [holder], [id], _from(RETRY_BY_HAND))
    return moved


def run_now(using: str, ids: Collection[UUID]) -> list[Moved]:
    """Make scheduled ones due."""
    sql = dialect(using)
    sets = f"run_after = {sql.now}, rank = {sql.rank(sql.now)}"
    return _move(sql, sets, [], ids, f"state = 'ready' AND run_after > {sql.now}")


def reschedule(using: str, ids: Collection[UUID], when: datetime | float) -> list[Moved]:
    """Give those that have not started another time: a moment, or seconds from now."""
    sql = dialect(using)
    if isinstance(when, datetime):
        # CAST, for a parameter alone has no type in every database.
        kind = "timestamptz" if sql.connection.vendor == "postgresql" else "CHAR"
        moment, parameter = f"CAST(%s AS {kind})", sql.time_parameter(when)
    else:
        moment, parameter = sql.later("%s"), when
    rank = sql.rank(sql.latest(moment, sql.now))
    times = rank.count("%s")
    return _move(sql, f"run_after = {moment}, rank = {rank}", [parameter] * (times + 1), ids, "state = 'ready'")


def reprioritize(using: str, ids: Collection[UUID], priority: int) -> list[Moved]:
    """Move those that wait to another priority, where they keep the place that their time gives them."""
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise ValueError(f"A priority lies between {LOWEST_PRIORITY} and {HIGHEST_PRIORITY}, not at {priority!r}.")
    sql = dialect(using)
    new_band = f"((%s - %s) * 2 + CASE WHEN lifo THEN 0 ELSE 1 END) * {BAND_SIZE}"
    # A rank modulo the size of a band is the time inside it.
    sets = f"rank = {new_band} + rank %% {BAND_SIZE}, priority = %s"
    return _move(sql, sets, [HIGHEST_PRIORITY, priority, priority], ids, "state IN ('ready', 'blocked')")


def _move(sql: Dialect, sets: str, parameters: list[object], ids: Collection[UUID], guard: str) -> list[Moved]:
    if not ids:
        return []
    among, id_parameters = sql.among("id", list(ids))
    rows = sql.update(sets, parameters, f"{among} AND {unseen(guard)}", id_parameters, _RETURNING)
    return [_read(sql, row) for row in rows]


def _read(sql: Dialect, row: Row) -> Moved:
    id, queue_name, rank, suspect, key = row
    return Moved(sql.read_id(id), queue_name, int(rank), bool(suspect), None if key is None else bytes(key))


def _from(move: Move) -> str:
    sources = ", ".join(f"'{state.value}'" for state in move.sources)
    return f"state IN ({sources})"
