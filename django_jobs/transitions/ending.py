"""succeed, fail, retry, snooze, stop, give back: what an attempt came to, written by those who still own it.

Every statement is guarded by state, fence and owner, so a worker that lost its claim changes nothing. A cancel that
was asked for in the meantime wins over every end except success, in the same statement; and what would start again
fails if it has started as often as max_starts allows.
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
from django_jobs.states import ENDED, FAIL, GIVE_BACK, RETRY, SNOOZE, STOP, SUCCEED, Move, State
from django_jobs.transitions.deduplicating import given_back, slot_at_end
from django_jobs.transitions.keeping import keep_until
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect, unseen
from django_jobs.transitions.sql.records import portions

# Tracebacks are long, and no statement may be.
RECORDS = 20
STARTED_TOO_OFTEN = "It was started as often as max_starts allows and did not end."
# Of very many attempts the first tell how it began and the last how it stands.
FIRST_KEPT, LAST_KEPT = 5, 45
NO_ERROR = ErrorReport(class_path="", message="", traceback="")


# To call State takes five times as long.
_STATES = {state.value: state for state in State}
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
_GUARD = unseen("j.state = 'running' AND j.fence = o.its_fence AND j.owner = o.its_owner")


def end(using: str, ended: Sequence[Ended], now: float, *, skip_locked: bool = False) -> list[tuple[Ended, Written]]:
    """Write down how these attempts ended; return those whose rows were still theirs, with the rows as they are now.

    `now` is this host's monotonic time, from which the ages of their beginnings and ends are taken. Someone who
    holds a lock is waited for as the transaction says, or with `skip_locked` not at all.
    """
    by_move: dict[str, list[Ended]] = {}
    for each in ended:
        by_move.setdefault(move_of(each.outcome).name, []).append(each)
    written: list[tuple[Ended, Written]] = []
    for group in by_move.values():
        written += _end_alike(using, move_of(group[0].outcome), group, now, skip_locked)
    _keep_attempts(using, written, now)
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
    running = unseen("state = 'running'")
    rows = sql.query(f"SELECT id, fence FROM {sql.job} WHERE {among} AND {running}", parameters)
    return {(sql.read_id(id), fence) for id, fence in rows} & {(claim.id, claim.fence) for claim in claims}


def _end_alike(
    using: str, move: Move, ended: Sequence[Ended], now: float, skip_locked: bool
) -> list[tuple[Ended, Written]]:
    sql = dialect(using)
    # By fence, for a job may be here twice: as it was before it was taken from us, and as we claimed it again.
    by_claim = {(each.claim.id.int, each.claim.fence): each for each in ended}
    # All lock their rows in the same order.
    in_order = [by_claim[key] for key in sorted(by_claim)]
    # What reads cancel_requested or an old counter comes first: MySQL assigns from left to right.
    sets = ", ".join([f"state = {_target(move)}", *_SETS[move.name](sql), _slot(move), "deadline_at = NULL"])
    returning = f"j.id, j.fence, j.state, j.queue_name, j.rank, {given_back('j.')}"
    written: list[tuple[Ended, Written]] = []
    for records in portions(_COLUMNS, (_record(sql, each, now) for each in in_order)):
        rows = sql.update_each(_COLUMNS, records, sets, _GUARD, returning, skip_locked=skip_locked)
        for id, fence, state, queue_name, rank, key in rows:
            id = sql.read_id(id)
            key = None if key is None else bytes(key)
            written.append((by_claim[id.int, fence], Written(id, _STATES[state], queue_name, int(rank), key)))
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


# A body that never began gives its start back.
_STARTED_TOO_OFTEN = "o.begun = 1 AND j.starts >= j.max_starts"
# A move to ready ends the job all the same. No NOT before it: max_starts may be NULL.
_ENDS = f"j.cancel_requested OR ({_STARTED_TOO_OFTEN})"


def _target(move: Move) -> str:
    if not move.yields_to_cancel:
        return f"'{move.target.value}'"
    too_often = f"WHEN {_STARTED_TOO_OFTEN} THEN '{State.FAILED.value}' " if move.target is State.READY else ""
    return f"CASE WHEN j.cancel_requested THEN '{State.CANCELLED.value}' {too_often}ELSE '{move.target.value}' END"


def _slot(move: Move) -> str:
    if move.target in ENDED:
        return f"deduplication_slot = {slot_at_end('j.')}"
    return f"deduplication_slot = CASE WHEN {_ENDS} THEN {slot_at_end('j.')} ELSE j.deduplication_slot END"


def _error_unless_ended(error: str) -> str:
    """The reason of the person who cancelled is there already; it stays."""
    return (
        f"error = CASE WHEN j.cancel_requested THEN j.error "
        f"WHEN {_STARTED_TOO_OFTEN} THEN {STARTED_TOO_OFTEN!r} ELSE {error} END"
    )


def _error_unless_cancelled(error: str) -> str:
    return f"error = CASE WHEN j.cancel_requested THEN j.error ELSE {error} END"


def _times(sql: Dialect, kept: str) -> list[str]:
    began, ended = sql.later("o.began"), sql.later("o.ended")
    return [f"started_at = {began}", f"finished_at = {ended}", f"keep_until = {kept}"]


def _kept(sql: Dialect, state: State, since: str = "o.ended") -> str:
    return keep_until(sql, state, since=since, prefix="j.")


def _kept_if_ended(sql: Dialect, since: str) -> str:
    return (
        f"CASE WHEN j.cancel_requested THEN {_kept(sql, State.CANCELLED, since)} "
        f"WHEN {_STARTED_TOO_OFTEN} THEN {_kept(sql, State.FAILED, since)} ELSE NULL END"
    )


def _clean_end() -> list[str]:
    """An attempt that ended by itself clears its job of suspicion."""
    return ["suspect = FALSE", "stalls = 0"]


def _ready_later(sql: Dialect) -> list[str]:
    moment = sql.later("o.delay")
    return [
        f"started_at = {sql.later('o.began')}",
        f"finished_at = CASE WHEN {_ENDS} THEN {sql.later('o.ended')} ELSE NULL END",
        f"keep_until = {_kept_if_ended(sql, 'o.ended')}",
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
        *_times(
            sql,
            f"CASE WHEN j.cancel_requested THEN {_kept(sql, State.CANCELLED)} ELSE {_kept(sql, State.FAILED)} END",
        ),
        _error_unless_cancelled("o.text"),
        "suspect = FALSE",
    ],
    RETRY.name: lambda sql: [
        *_ready_later(sql),
        _error_unless_ended("o.text"),
        # Who has ended is told by whom.
        f"owner = CASE WHEN {_ENDS} THEN j.owner ELSE NULL END",
        *_clean_end(),
    ],
    SNOOZE.name: lambda sql: [
        *_ready_later(sql),
        _error_unless_ended("j.error"),
        "attempt = j.attempt - 1",
        "owner = NULL",
        *_clean_end(),
    ],
    STOP.name: lambda sql: [
        *_times(sql, _kept(sql, State.CANCELLED)),
        _error_unless_cancelled("o.text"),
        "suspect = FALSE",
    ],
    GIVE_BACK.name: lambda sql: [
        f"finished_at = CASE WHEN {_ENDS} THEN {sql.now} ELSE NULL END",
        f"keep_until = {_kept_if_ended(sql, '0')}",
        _error_unless_ended("j.error"),
        "started_at = NULL",
        "attempt = j.attempt - 1",
        "owner = NULL",
        "starts = j.starts - CASE WHEN o.begun = 1 THEN 0 ELSE 1 END",
    ],
}


def _keep_attempts(using: str, written: Sequence[tuple[Ended, Written]], now: float) -> None:
    """Record the attempts of jobs whose first attempt did not succeed. Hand-backs are none."""
    kept = [(each, row) for each, row in written if _is_kept(each, row)]
    if not kept:
        return
    sql = dialect(using)
    offset = sql.query(f"SELECT {sql.epoch(sql.now)}")[0][0] - now
    Attempt.objects.using(using).bulk_create(
        [
            _attempt(
                each,
                row,
                datetime.fromtimestamp(offset + each.started, UTC),
                datetime.fromtimestamp(offset + each.finished, UTC),
            )
            for each, row in kept
        ],
        batch_size=RECORDS,
    )
    _forget_middle(using, [each.claim for each, _ in kept if each.claim.attempt > FIRST_KEPT + LAST_KEPT])


def _is_kept(each: Ended, row: Written) -> bool:
    match each.outcome:
        case Failed() | Retried():
            return True
        case Succeeded() | Stopped():
            return each.claim.attempt > 1
    return row.state == State.FAILED


def _attempt(each: Ended, row: Written, started_at: datetime, finished_at: datetime) -> Attempt:
    claim, error = each.claim, error_of(each.outcome, row)
    return Attempt(
        job_id=claim.id,
        number=claim.attempt,
        worker=claim.owner,
        started_at=started_at,
        finished_at=finished_at,
        outcome=_told(each.outcome, row),
        error_class=error.class_path[:300],
        message=error.message,
        traceback=error.traceback,
    )


def error_of(outcome: Outcome, row: Written) -> ErrorReport:
    """Return what an attempt failed by."""
    if isinstance(outcome, Failed | Retried):
        return outcome.error
    if row.state == State.FAILED:
        return ErrorReport(class_path="django_jobs.StartedTooOften", message=STARTED_TOO_OFTEN, traceback="")
    return NO_ERROR


def _told(outcome: Outcome, row: Written) -> str:
    if isinstance(outcome, Failed | Retried):
        return "retrying" if row.state == State.READY else State.FAILED.value
    return row.state.value


def _forget_middle(using: str, claims: Sequence[Claim]) -> None:
    """A job of ten thousand attempts must not fill the table."""
    for claim in claims:
        middle = Attempt.objects.using(using).filter(
            job_id=claim.id, number__gt=FIRST_KEPT, number__lte=claim.attempt - LAST_KEPT
        )
        middle._raw_delete(using)
