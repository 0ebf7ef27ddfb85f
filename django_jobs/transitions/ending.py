"""succeed, fail, retry, snooze, stop, give back: what an attempt came to, written by those who still own it.

Every statement is guarded by state, fence and owner, so a worker that lost its claim changes nothing. A cancel that
was asked for in the meantime wins over every end except success, in the same statement.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django_jobs.definitions.outcomes import (
    Claim,
    Ended,
    ErrorReport,
    Failed,
    GivenBack,
    Outcome,
    Retried,
    Snoozed,
    Stopped,
    Succeeded,
    Written,
)
from django_jobs.models import Attempt, Job
from django_jobs.states import FAIL, GIVE_BACK, RETRY, SNOOZE, STOP, SUCCEED, Move, State
from django_jobs.transitions.keeping import keep_until
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect, portions

PATIENCE_MILLISECONDS = 50
# Tracebacks are long, and no statement may be.
RECORDS = 20
CANCELLED_WHILE_RUNNING = "Cancelled while it was running."
NO_ERROR = ErrorReport(class_path="", message="", traceback="")


_COLUMNS = {
    "id": "uuid",
    "its_fence": "bigint",
    "its_owner": "uuid",
    "began": "float8",
    "ended": "float8",
    "delay": "float8",
    "text": "text",
    "begun": "bigint",
}

# The claim's own row and nobody else's: a doubled, late or foreign outcome matches nothing.
_GUARD = "j.state = 'running' AND j.fence = o.its_fence AND j.owner = o.its_owner"


def end(using: str, ended: Sequence[Ended], now: float, *, skip_locked: bool = False) -> list[tuple[Ended, Written]]:
    """Write down how these attempts ended; return those whose rows were still theirs, with the rows as they are now.

    `now` is this host's monotonic time, from which the ages of their beginnings and ends are taken. Someone who
    holds a lock is waited for but a moment (then: OperationalError), or with `skip_locked` not at all.
    """
    if not skip_locked:
        dialect(using).limit_lock_waits(PATIENCE_MILLISECONDS)
    by_move: dict[str, list[Ended]] = {}
    for each in ended:
        by_move.setdefault(move_of(each.outcome).name, []).append(each)
    written: list[tuple[Ended, Written]] = []
    for group in by_move.values():
        written += _end_alike(using, move_of(group[0].outcome), group, now, skip_locked)
    _keep_attempts(using, [each for each, _ in written], now)
    return written


def end_with_body(using: str, ended: Ended, now: float) -> Written | None:
    """Write down, in the transaction of its body, how an attempt ended; return None if the row is not its own any more.

    Whoever holds the row's lock is waited for: what the body did is worth more than a moment.
    """
    list(Job.objects.using(using).filter(pk=ended.claim.id).select_for_update().values_list("pk"))
    # Nothing of ours can be locked by others now, and lock_timeout remains what the body set.
    written = end(using, [ended], now, skip_locked=True)
    return written[0][1] if written else None


def move_of(outcome: Outcome) -> Move:
    """Return the move that an outcome asks for."""
    match outcome:
        case Succeeded():
            return SUCCEED
        case Failed():
            return FAIL
        case Retried():
            return RETRY
        case Snoozed():
            return SNOOZE
        case Stopped():
            return STOP
        case GivenBack():
            return GIVE_BACK


def still_owned(using: str, claims: Sequence[Claim]) -> set[tuple[UUID, int]]:
    """Return id and fence of those whose rows still carry them: somebody held a lock while they should be written."""
    sql = dialect(using)
    among, parameters = sql.among("id", [claim.id for claim in claims])
    rows = sql.query(f"SELECT id, fence FROM {sql.job} WHERE {among} AND state = 'running'", parameters)
    return {(sql.read_id(id), fence) for id, fence in rows} & {(claim.id, claim.fence) for claim in claims}


def _end_alike(
    using: str, move: Move, ended: Sequence[Ended], now: float, skip_locked: bool
) -> list[tuple[Ended, Written]]:
    sql = dialect(using)
    # By fence, for a job may be here twice: as it was before it was taken from us, and as we claimed it again.
    by_claim = {(each.claim.id, each.claim.fence): each for each in ended}
    # What reads cancel_requested or an old counter comes first: MySQL assigns from left to right.
    sets = ", ".join([f"state = {_target(move)}", *_SETS[move.name](sql), "owner = NULL", "deadline_at = NULL"])
    returning = "j.id, j.fence, j.state, j.queue_name, j.rank"
    written: list[tuple[Ended, Written]] = []
    for records in portions(sorted(_record(sql, each, now) for each in by_claim.values())):
        for row in sql.update_each(_COLUMNS, records, sets, _GUARD, returning, skip_locked=skip_locked):
            id, fence, state, queue_name, rank = row
            id = sql.read_id(id)
            written.append((by_claim[id, fence], Written(id, State(state), queue_name, int(rank))))
    return written


def _record(sql: Dialect, each: Ended, now: float) -> tuple[Any, ...]:
    text, delay, begun = None, 0.0, 1
    match each.outcome:
        case Succeeded(result=result):
            text = result
        case Failed(error):
            text = error.summary
        case Retried(error, delay):
            text = error.summary
        case Snoozed(delay):
            pass
        case Stopped(reason):
            text = reason[:500]
        case GivenBack(has_begun):
            begun = int(has_begun)
    claim = each.claim
    return claim.id, claim.fence, claim.owner, each.started - now, each.finished - now, delay, text, begun


def _target(move: Move) -> str:
    if not move.yields_to_cancel:
        return f"'{move.target.value}'"
    return f"CASE WHEN j.cancel_requested THEN '{State.CANCELLED.value}' ELSE '{move.target.value}' END"


def _unless_cancelled(value: str, otherwise: str) -> str:
    return f"CASE WHEN j.cancel_requested THEN {otherwise} ELSE {value} END"


def _times(sql: Dialect, kept: str) -> list[str]:
    began, ended = sql.later("o.began"), sql.later("o.ended")
    return [f"started_at = {began}", f"finished_at = {ended}", f"keep_until = {kept}"]


def _kept(sql: Dialect, state: State, since: str = "o.ended") -> str:
    return keep_until(sql, state, since=since, prefix="j.")


def _clean_end() -> list[str]:
    """An attempt that ended by itself clears its job of suspicion."""
    return ["suspect = FALSE", "stalls = 0"]


def _ready_later(sql: Dialect) -> list[str]:
    moment = sql.later("o.delay")
    return [
        f"started_at = {sql.later('o.began')}",
        f"finished_at = {_unless_cancelled('NULL', sql.later('o.ended'))}",
        f"keep_until = {_unless_cancelled('NULL', _kept(sql, State.CANCELLED))}",
        f"run_after = {moment}",
        f"rank = {sql.rank(moment)}",
    ]


_SETS = {
    SUCCEED.name: lambda sql: [
        *_times(sql, _kept(sql, State.SUCCESSFUL)),
        "result_text = o.text",
        "error = ''",
        "suspect = FALSE",
    ],
    FAIL.name: lambda sql: [
        *_times(sql, _unless_cancelled(_kept(sql, State.FAILED), _kept(sql, State.CANCELLED))),
        "error = o.text",
        "suspect = FALSE",
    ],
    RETRY.name: lambda sql: [*_ready_later(sql), "error = o.text", *_clean_end()],
    SNOOZE.name: lambda sql: [
        *_ready_later(sql),
        f"error = {_unless_cancelled('j.error', repr(CANCELLED_WHILE_RUNNING))}",
        "attempt = j.attempt - 1",
        *_clean_end(),
    ],
    STOP.name: lambda sql: [*_times(sql, _kept(sql, State.CANCELLED)), "error = o.text", "suspect = FALSE"],
    GIVE_BACK.name: lambda sql: [
        f"finished_at = {_unless_cancelled('NULL', sql.now)}",
        f"keep_until = {_unless_cancelled('NULL', _kept(sql, State.CANCELLED, '0'))}",
        f"error = {_unless_cancelled('j.error', repr(CANCELLED_WHILE_RUNNING))}",
        "started_at = NULL",
        "attempt = j.attempt - 1",
        "starts = j.starts - CASE WHEN o.begun = 1 THEN 0 ELSE 1 END",
    ],
}


def _keep_attempts(using: str, ended: Sequence[Ended], now: float) -> None:
    """Record the attempts of jobs whose first attempt did not succeed. Hand-backs are none."""
    kept = [
        each
        for each in ended
        if isinstance(each.outcome, Failed | Retried)
        or (isinstance(each.outcome, Succeeded | Stopped) and each.claim.attempt > 1)
    ]
    if not kept:
        return
    sql = dialect(using)
    offset = sql.query(f"SELECT {sql.epoch(sql.now)}")[0][0] - now
    Attempt.objects.using(using).bulk_create(
        [
            _attempt(
                each.claim,
                each.outcome,
                datetime.fromtimestamp(offset + each.started, UTC),
                datetime.fromtimestamp(offset + each.finished, UTC),
            )
            for each in kept
        ],
        batch_size=RECORDS,
    )


def _attempt(claim: Claim, outcome: Outcome, started_at: datetime, finished_at: datetime) -> Attempt:
    error = outcome.error if isinstance(outcome, Failed | Retried) else NO_ERROR
    return Attempt(
        job_id=claim.id,
        number=claim.attempt,
        worker=claim.owner,
        started_at=started_at,
        finished_at=finished_at,
        outcome="retrying" if isinstance(outcome, Retried) else move_of(outcome).target.value,
        error_class=error.class_path[:300],
        message=error.message,
        traceback=error.traceback,
    )
