"""Atomic jobs: what the body does to the job database and its success are committed together, or not at all."""

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, connections, transaction

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack, Outcome, Succeeded
from django_jobs.errors import BrokenTransaction
from django_jobs.lifecycle.deduplicating import follow_on_commit
from django_jobs.transitions.ending import end_with_body
from django_jobs.transitions.transactions import after_collisions

logger = logging.getLogger("django_jobs")

Result = TypeVar("Result")


def commit_together(claim: Claim, body: Callable[[], Outcome]) -> Outcome:
    """Run a body in a transaction in which its success is written too; whatever else comes of it undoes what it did.

    A body that collides with another transaction runs again at once: nothing of it was left, and it is not to blame.
    """
    using = get_settings().DATABASE
    return after_collisions(using, f"Job {claim.id} ({claim.name})", lambda: _commit_once(using, claim, body))


def unbroken(using: str, body: Callable[[], Result]) -> Result:
    """Run `body` in the transaction that is open, and make sure that it still is the same one afterwards.

    Raises BrokenTransaction.
    """
    connection = connections[using]
    # Not a second atomic(): what the body enqueues would have to be looked up before it is rung.
    mark = connection.savepoint()
    assert mark is not None, "No transaction is open."
    value = body()
    try:
        connection.savepoint_commit(mark)
    except DatabaseError as error:
        raise BrokenTransaction from error
    return value


def _commit_once(using: str, claim: Claim, body: Callable[[], Outcome]) -> Outcome:
    started = clock.monotonic()
    is_committed = False

    def note_commit() -> None:
        nonlocal is_committed
        is_committed = True

    try:
        with transaction.atomic(using=using):
            # The first of all callbacks: those of the body may raise.
            transaction.on_commit(note_commit, using=using)
            outcome = unbroken(using, body)
            if isinstance(outcome, Succeeded):
                outcome = _succeed(using, Ended(claim, outcome, started, clock.monotonic()))
            if not isinstance(outcome, Succeeded):
                transaction.set_rollback(True, using=using)
    except BaseException:  # SystemExit too: what is committed has happened
        if not is_committed:
            raise
        logger.exception("Job %s (%s) has succeeded, but a callback of on_commit failed.", claim.id, claim.name)
    return outcome


def _succeed(using: str, ended: Ended) -> Outcome:
    """Write the success down. Who lost the job hands back an attempt that left nothing; the recorder will see."""
    assert isinstance(ended.outcome, Succeeded)
    row = end_with_body(using, ended, clock.monotonic())
    if row is not None and row.given_back is not None:
        follow_on_commit(get_settings().DATABASE, [row.given_back])
    return GivenBack(begun=True) if row is None else Succeeded(ended.outcome.result, row)
