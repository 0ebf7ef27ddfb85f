"""Writes what bodies say and save, beside the job's row. A lower fence never overwrites what a higher one wrote."""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from uuid import UUID

from django.db import transaction

from django_jobs.definitions.outcomes import Claim
from django_jobs.models import Report, SavedData
from django_jobs.transitions.sql import dialect
from django_jobs.transitions.sql.records import portions


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report as it is to be stored."""

    job_id: UUID
    progress_text: str
    log_text: str
    dropped: int
    fence: int


def fences(using: str, ids: Collection[UUID]) -> dict[UUID, int]:
    """Return the fence of each job that has a row: a claim with another one is no longer the newest."""
    sql = dialect(using)
    among, parameters = sql.among("id", ids)
    return {
        sql.read_id(id): fence for id, fence in sql.query(f"SELECT id, fence FROM {sql.job} WHERE {among}", parameters)
    }


def stored_logs(using: str, ids: Collection[UUID]) -> dict[UUID, tuple[str, int]]:
    """Return the text of each log that is there, and how many lines it left out."""
    rows = Report.objects.using(using).filter(job_id__in=ids).values_list("job_id", "log_text", "dropped")
    return {id: (text, dropped) for id, text, dropped in rows}


def keep_reports(using: str, reports: Sequence[ReportRow]) -> None:
    """Put each in the place of the job's report."""
    columns = {"job_id": "uuid", "progress_text": "text", "log_text": "text", "dropped": "bigint", "fence": "bigint"}
    for records in portions(columns, sorted(astuple(each) for each in reports)):
        dialect(using).keep_newest(Report, tuple(columns), records)


def save_data(using: str, claim: Claim, text: str) -> bool:
    """Store the data of a running job if the claim still holds; return whether it does.

    On the caller's connection: inside of a transaction it is stored with that. The job's row is only read, for a lock
    on it would be in the way of its worker.
    """
    sql = dialect(using)
    guard = "id = %s AND fence = %s AND owner = %s AND state = 'running'"
    mine = [sql.id_parameter(claim.id), claim.fence, sql.id_parameter(claim.owner)]
    with transaction.atomic(using=using):
        sql.keep_newest(SavedData, ("job_id", "text", "fence"), [(claim.id, text, claim.fence)])
        # Looked at last, so that nothing can happen in between that nobody sees.
        holds = bool(sql.query(f"SELECT 1 FROM {sql.job} WHERE {guard}", mine)) and not _is_newer(using, claim)
        if not holds:
            transaction.set_rollback(True, using=using)
    return holds


def saved_data(using: str, id: UUID) -> str | None:
    """Return the stored data of a job, or None."""
    return SavedData.objects.using(using).filter(pk=id).values_list("text", flat=True).first()


def _is_newer(using: str, claim: Claim) -> bool:
    return SavedData.objects.using(using).filter(pk=claim.id, fence__gt=claim.fence).exists()
