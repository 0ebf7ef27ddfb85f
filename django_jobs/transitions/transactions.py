"""Transactions of our own: whole again after a deadlock, a serialization failure or a lost connection."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, InterfaceError, InternalError, OperationalError, connections, transaction

from django_jobs.conf import get_settings
from django_jobs.transitions.sql import dialect

logger = logging.getLogger("django_jobs")

Result = TypeVar("Result")

TRIES = 5
# PostgreSQL: serialization failure, deadlock. MySQL: deadlock, record changed. The server has rolled back everything.
_COLLISION_STATES = {"40001", "40P01"}
_COLLISION_NUMBERS = {1020, 1213}
# PostgreSQL: serialization failure, deadlock, lock timeout. MySQL: deadlock, lock wait timeout, record changed.
_STATES = {"40001", "40P01", "55P03"}
_NUMBERS = {1020, 1205, 1213}


def in_transaction(
    using: str,
    work: Callable[[], Result],
    *,
    tries: int = TRIES,
    alone: bool = False,
    lock_wait_milliseconds: int | None = None,
) -> Result:
    """Run `work` in a transaction of its own and return what it returns; run it again when that can help.

    What it writes must be guarded: a commit whose answer was lost is repeated too. `alone`: it is one statement,
    which is a transaction by itself, so that BEGIN and COMMIT cost no round trips.

    Someone who holds a lock is waited for `lock_wait_milliseconds` at most, where the database can; None: for long.

    A process that is frozen in the middle, a paused virtual machine for example, holds its locks no longer than the
    time after which it counts as dead; where somebody else began the transaction, that is for them to see to.
    """
    for remaining in range(tries - 1, -1, -1):
        before = connections[using].connection
        try:
            if alone:
                return work()
            if connections[using].in_atomic_block:
                with transaction.atomic(using=using):
                    return work()
            with dialect(using).transaction(get_settings().DEAD_AFTER_SECONDS, lock_wait_milliseconds):
                return work()
        except (OperationalError, InterfaceError, InternalError) as error:
            if not remaining or not _may_pass(using, error, before):
                raise
            _step_aside()
    raise AssertionError("unreachable")


def after_collisions(using: str, what: str, work: Callable[[], Result]) -> Result:
    """Run `work`, which begins and ends a transaction, and return what it returns; run it again after a collision.

    A collision left nothing of it, and it was not to blame. `what` names it in the log.
    """
    for remaining in range(TRIES - 1, -1, -1):
        try:
            return work()
        except OperationalError as error:
            if not remaining or not _is_collision(using, error):
                raise
            logger.info("%s runs again, for its transaction met another: %s", what, error)
            _step_aside()
    raise AssertionError("unreachable")


def after_own_collisions(using: str, what: str, work: Callable[[], Result]) -> Result:
    """Run `work` again after a collision if its transaction is ours; the caller's own is for them to begin anew.

    Without autocommit there is one too: what they wrote in it before would be gone, and they would not know.
    """
    connection = connections[using]
    # SQLite has waited already, for as long as the caller's settings say.
    if connection.in_atomic_block or connection.vendor == "sqlite" or not connection.get_autocommit():
        return work()
    return after_collisions(using, what, work)


def _step_aside() -> None:
    """Wait for a moment of random length: those who collided must not collide again."""
    time.sleep(random.uniform(0.001, 0.02))


def _is_collision(using: str, error: OperationalError) -> bool:
    """Tell whether the database undid a transaction for the sake of another one: the same may well succeed now."""
    if connections[using].vendor == "sqlite":
        return "locked" in str(error)
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate in _COLLISION_STATES or bool(error.args and error.args[0] in _COLLISION_NUMBERS)


def _may_pass(using: str, error: Error, before: object) -> bool:
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in _STATES:
        return True
    if error.args and error.args[0] in _NUMBERS:
        return True
    connection = connections[using]
    if connection.vendor == "sqlite":
        return "locked" in str(error)
    # Django may have put a new connection in the place of a lost one already.
    if connection.connection is not None and connection.connection is before and connection.is_usable():
        return False
    connection.close()
    return True
