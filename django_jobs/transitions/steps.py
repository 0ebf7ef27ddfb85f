"""The steps of a running job, written on the connection of its body. Of two who do one step the first one counts."""

from collections.abc import Collection
from uuid import UUID

from django_jobs.definitions.outcomes import Claim
from django_jobs.models import Step
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.base import Dialect

# The JSON text of a result; in a tuple, for it may be None.
Kept = tuple[str | None]


def kept(using: str, job: UUID) -> dict[str, bool]:
    """Return the names of the steps that are done, each with whether it is marked as unused."""
    return dict(Step.objects.using(using).filter(job_id=job).values_list("name", "unused"))


def read(using: str, job: UUID, name: str) -> Kept | None:
    """Return what a step came to, or None if it is not done."""
    sql = dialect(using)
    lock = sql.lock_to_read_the_present()
    rows = sql.query(
        f"SELECT result_text FROM {_table(sql)} WHERE job_id = %s AND name = %s{lock}", [sql.id_parameter(job), name]
    )
    return (rows[0][0],) if rows else None


def keep(using: str, claim: Claim, name: str, result_text: str | None, seconds: float) -> bool:
    """Store that a step is done, after so many seconds; return False if it was done before, or the job is lost."""
    sql = dialect(using)
    return sql.insert_once(
        f"INSERT INTO {_table(sql)} (job_id, name, attempt, started_at, finished_at, result_text, unused) "
        f"SELECT j.id, %s, %s, {sql.later('%s')}, {sql.now}, %s, FALSE FROM {sql.job} AS j "
        "WHERE j.id = %s AND j.state = 'running' AND j.fence = %s AND j.owner = %s",
        [
            name,
            claim.attempt,
            -seconds,
            result_text,
            sql.id_parameter(claim.id),
            claim.fence,
            sql.id_parameter(claim.owner),
        ],
        "job_id, name",
    )


def mark_unused(using: str, job: UUID, names: Collection[str]) -> None:
    """Mark those steps of a job as unused, and no others."""
    steps = Step.objects.using(using).filter(job_id=job)
    steps.filter(unused=True).exclude(name__in=names).update(unused=False)
    steps.filter(name__in=names).update(unused=True)


def forget(using: str, ids: Collection[UUID]) -> None:
    """Delete the steps of these jobs: their next attempts begin from the beginning."""
    Step.objects.using(using).filter(job_id__in=ids)._raw_delete(using)


def _table(sql: Dialect) -> str:
    return str(sql.connection.ops.quote_name(Step._meta.db_table))
