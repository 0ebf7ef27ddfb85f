"""settle: outcomes become rows, many in one transaction, together with the next claim."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from django.db import DatabaseError, InterfaceError, OperationalError

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Ended, ErrorReport, Failed, Succeeded, Written
from django_jobs.definitions.rank import due_at
from django_jobs.definitions.registry import find_spec
from django_jobs.lifecycle import reporting
from django_jobs.lifecycle.deduplicating import bells_of
from django_jobs.lifecycle.dispatching import HORIZON, ring
from django_jobs.signals import attempt_ended, job_failed
from django_jobs.states import State
from django_jobs.transitions.deduplicating import Released, follow
from django_jobs.transitions.ending import end, error_of, still_owned
from django_jobs.transitions.transactions import in_transaction
from django_jobs.transports import Bell

logger = logging.getLogger("django_jobs")

# One row that somebody has locked must not hold up all others.
PATIENCE_MILLISECONDS = 50


@dataclass(slots=True)
class Settled:
    """What became of outcomes: written down; too late, for somebody else owns the job; or still to be written."""

    written: list[tuple[Ended, Written]] = field(default_factory=list)
    fenced: list[Ended] = field(default_factory=list)
    locked: list[Ended] = field(default_factory=list)


def settle(using: str, ended: Sequence[Ended]) -> Settled:
    """Write outcomes down and announce what follows. Raises OperationalError while the database is away."""
    return settle_and_claim(using, ended, list)[0]


def settle_and_claim(
    using: str, ended: Sequence[Ended], claim: Callable[[], list[Claim]]
) -> tuple[Settled, list[Claim]]:
    """Write outcomes down and make the next claims, in one transaction.

    An outcome that the database refuses is replaced by an error note, so that the state is always recorded. Raises
    OperationalError or InterfaceError while the database is away; the caller keeps the outcomes.
    """
    notes = reporting.take_last(each.claim for each in ended)
    together = _written_with_their_bodies(ended)
    if together:
        ended = [each for each in ended if not isinstance(each.outcome, Succeeded) or each.outcome.row is None]
    tries = 0

    released: list[Released] = []

    def work() -> tuple[list[tuple[Ended, Written]], list[Claim]]:
        nonlocal tries, released
        tries += 1
        # After a collision do not wait for anybody's lock: the rest of the batch must go on.
        written = end(using, ended, clock.monotonic(), skip_locked=tries > 1) if ended else []
        reporting.write(using, notes)
        keys = [row.given_back for _, row in written if row.given_back is not None]
        released = follow(using, keys) if keys else []
        return written, claim()

    try:
        written, claims = in_transaction(using, work, lock_wait_milliseconds=PATIENCE_MILLISECONDS)
    except (OperationalError, InterfaceError):
        reporting.put_back(notes)
        raise
    except DatabaseError as refusal:
        if not ended:
            raise
        # Of the last one that is left they are let go: it may be them that are refused, and the state comes first.
        reporting.put_back(notes if len(ended) > 1 else ())
        settled, claims = _settle_bisected(using, ended, refusal), in_transaction(using, claim)
        _announce(Settled(together))
        settled.written += together
        return settled, claims
    settled = _sort(using, ended, written)
    settled.written += together
    _announce(settled)
    ring(bells_of(using, released))
    return settled, claims


def _written_with_their_bodies(ended: Sequence[Ended]) -> list[tuple[Ended, Written]]:
    """Return what atomic jobs have written themselves: it is only to be announced."""
    return [
        (each, each.outcome.row)
        for each in ended
        if isinstance(each.outcome, Succeeded) and each.outcome.row is not None
    ]


def _settle_bisected(using: str, ended: Sequence[Ended], refusal: DatabaseError) -> Settled:
    if len(ended) > 1:
        middle = len(ended) // 2
        first, second = settle(using, ended[:middle]), settle(using, ended[middle:])
        return Settled(first.written + second.written, first.fenced + second.fenced, first.locked + second.locked)
    (only,) = ended
    if isinstance(only.outcome, Failed) and only.outcome.error.class_path == _NOTE.class_path:
        raise RuntimeError(f"Not even an error note can be written for job {only.claim.id}.")
    logger.error("The outcome of job %s cannot be stored; an error note is. %s", only.claim.id, refusal)
    return settle(using, [replace(only, outcome=Failed(_NOTE))])


_NOTE = ErrorReport(
    class_path="django_jobs.UnwritableOutcome",
    message="The job ended, but the database refused its result or error. The worker's log has the details.",
    traceback="",
)


def _sort(using: str, ended: Sequence[Ended], written: list[tuple[Ended, Written]]) -> Settled:
    settled = Settled(written=written)
    if len(written) == len(ended):
        return settled
    done = {id(each) for each, _ in written}
    missing = [each for each in ended if id(each) not in done]
    owned = still_owned(using, [each.claim for each in missing])
    settled.locked = [each for each in missing if (each.claim.id, each.claim.fence) in owned]
    settled.fenced = [each for each in missing if (each.claim.id, each.claim.fence) not in owned]
    for each in settled.fenced:
        logger.warning(
            "Attempt %s of job %s (%s) ended too late: the job was taken from this worker. Nothing was written.",
            each.claim.attempt,
            each.claim.id,
            each.claim.name,
        )
    return settled


def _announce(settled: Settled) -> None:
    """After the commit: bells for what is ready again, log lines and signals; nothing here may hold up a worker."""
    near = clock.now() + HORIZON
    ring(
        [
            Bell(row.id, row.queue_name, row.rank)
            for _, row in settled.written
            if row.state == State.READY and due_at(row.rank) <= near
        ]
    )
    listened = attempt_ended.has_listeners()
    for each, row in settled.written:
        if listened:
            attempt_ended.send_robust(
                sender=find_spec(each.claim.name),
                claim=each.claim,
                outcome=each.outcome,
                state=row.state,
                seconds=each.finished - each.started,
            )
        if row.state == State.FAILED:
            report_failure(each.claim, error_of(each.outcome, row))


def report_failure(claim: Claim, error: ErrorReport) -> None:
    """Log a final failure with its exception, and tell those who listen."""
    exception = error.exception
    logger.error(
        "Job %s (%s) failed after %s of %s attempts: %s",
        claim.id,
        claim.name,
        claim.attempt,
        claim.max_attempts,
        error.summary,
        exc_info=(type(exception), exception, exception.__traceback__) if exception is not None else None,
        extra={"job_id": str(claim.id), "job_name": claim.name, "queue_name": claim.queue_name},
    )
    job_failed.send_robust(sender=find_spec(claim.name), claim=claim, error=error)
