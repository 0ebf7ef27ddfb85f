"""Parts of work that count as committed although a test's transaction stays open around them."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# Where Django itself tells of a robust callback that failed.
logger = logging.getLogger("django.db.backends.base")

Result = TypeVar("Result")


def as_committed(work: Callable[[], Result]) -> Result:
    """Do a part of work and run what it left for its commit, also inside of the transaction of a TestCase.

    In such a transaction the part has a savepoint, to which only a broken one goes back: what else was written before
    an error stays, as it would without the transaction around. Raises what the work raises, or a callback of it.
    """
    parts = [Part(each) for each in connections.all(initialized_only=True) if each.in_atomic_block]
    try:
        return work()
    finally:
        for part in parts:
            part.commit()


class Part:
    """What happens on a connection, inside of an open transaction, from now on until it is committed."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._mark: Any = connection.savepoint()
        self._known = len(connection.run_on_commit)

    def commit(self) -> None:
        """Keep what has happened and run the callbacks. They are taken off: nobody shall run them a second time."""
        connection = self._connection
        try:
            broken = connection.needs_rollback
            if not broken:
                connection.savepoint_commit(self._mark)
        except DatabaseError:
            broken = True
        if broken:
            connection.needs_rollback = False
            connection.savepoint_rollback(self._mark)
            del connection.run_on_commit[self._known :]
            return
        callbacks: list[Any] = connection.run_on_commit[self._known :]
        del connection.run_on_commit[self._known :]
        for _, callback, is_robust in callbacks:
            try:
                as_committed(callback)
            except Exception:
                if not is_robust:
                    raise
                logger.exception("The callback %r of a commit failed.", callback)
