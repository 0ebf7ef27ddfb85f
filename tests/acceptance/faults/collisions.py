"""Makes one in twenty writes to the table of jobs fail, as a database fails what it had to undo for somebody else."""

import random
from typing import Any

from django.db import OperationalError
from django.db.backends.signals import connection_created

from django_jobs.models import Job

SHARE = 0.05
WRITES = ("UPDATE", "WITH", "INSERT", "SELECT")


def collide(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
    is_write = sql.lstrip().startswith(WRITES) and Job._meta.db_table in sql
    if not is_write or random.random() >= SHARE:
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
