"""Which worker does a chore now: whoever's UPDATE moves its due time."""

from contextlib import suppress

from django.db import IntegrityError, connections

from django_jobs.models import Chore
from django_jobs.transitions.sql import dialect


def claim_chore(using: str, name: str, seconds: float, *, renew: bool = False) -> bool:
    """Take up a chore that is due, and make it due again in so many seconds; return whether it is ours.

    `renew`: it is ours already, only move its time.
    """
    sql = dialect(using)
    table = connections[using].ops.quote_name(Chore._meta.db_table)
    late = "" if renew else f" AND due_at <= {sql.now}"
    with connections[using].cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET due_at = {sql.later('%s')} WHERE name = %s{late}", [seconds, name])
        if cursor.rowcount:
            return True
    if not renew and not Chore.objects.using(using).filter(name=name).exists():
        _make(using, name)
    return False


def _make(using: str, name: str) -> None:
    """Make a chore's row, due at once: the next claim of it decides."""
    sql = dialect(using)
    table = connections[using].ops.quote_name(Chore._meta.db_table)
    guard = f"WHERE NOT EXISTS (SELECT 1 FROM {table} AS c WHERE c.name = %s)"
    dual = " FROM DUAL" if sql.connection.vendor == "mysql" else ""
    with suppress(IntegrityError):  # another worker has made it in the meantime
        sql.execute(f"INSERT INTO {table} (name, due_at) SELECT %s, {sql.now}{dual} {guard}", [name, name])
