"""Makes one in twenty statements of this process fail as a database fails it that had to undo a transaction."""

import random
from typing import Any

from django.db import OperationalError
from django.db.backends.signals import connection_created

SHARE = 0.05


def collide(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
    if random.random() >= SHARE:
        return execute(sql, parameters, many, context)
    if context["connection"].vendor == "mysql":
        raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
    error = OperationalError("deadlock detected")
    error.__cause__ = Deadlock("deadlock detected")
    raise error


class Deadlock(Exception):
    sqlstate = "40P01"


def spoil(connection: Any, **kwargs: Any) -> None:
    connection.execute_wrappers.append(collide)


connection_created.connect(spoil, dispatch_uid=__name__)
