"""remove: the rows of jobs, and what lies beside a job's row and goes with it.

No constraint of the database does that: see models/attempt.py.
"""

from collections.abc import Collection
from uuid import UUID

from django.db import connections
from django.db.models import Model

from django_jobs.models import Attempt, Job, Metadata, Report, SavedData, Step
from django_jobs.states import State
from django_jobs.transitions.sql import dialect

# Each has a column job_id.
BELONGINGS = (Attempt, Metadata, Report, SavedData, Step)
NOT_RUNNING = tuple(state for state in State if state is not State.RUNNING)


def remove(using: str, ids: Collection[UUID], states: Collection[State] = NOT_RUNNING) -> int:
    """Delete those that are in one of the states, with all that belongs to them; return how many.

    In a transaction, and at most CHUNK of them. The promise of their idempotency keys ends.
    """
    # Asked for by id alone: with the state in the question, old statistics lead PostgreSQL through all of that state.
    jobs = Job.objects.using(using).filter(pk__in=list(ids)).order_by("pk").select_for_update()
    # Locked first: what has left its state in the meantime keeps what belongs to it.
    return delete(using, [id for id, state in jobs.values_list("pk", "state") if state in states])


def delete(using: str, locked: Collection[UUID]) -> int:
    """Delete these rows, which the caller has locked, with all that belongs to them; return how many."""
    if not locked:
        return 0
    remove_belongings(using, locked)
    return _delete(using, Job, "id", locked)


def remove_belongings(using: str, ids: Collection[UUID]) -> None:
    """Delete everything that belongs to these jobs, in the transaction that deletes the jobs themselves."""
    for model in BELONGINGS:
        _delete(using, model, "job_id", ids)


def _delete(using: str, model: type[Model], column: str, ids: Collection[UUID]) -> int:
    """Not by the ORM, which would send every id as a parameter of its own."""
    sql = dialect(using)
    among, parameters = sql.among(column, ids)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {connections[using].ops.quote_name(model._meta.db_table)} WHERE {among}", parameters
        )
        return int(cursor.rowcount)
