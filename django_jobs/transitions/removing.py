"""What lies beside a job's row and goes with it. No constraint of the database does that: see models/attempt.py."""

from collections.abc import Collection
from uuid import UUID

from django_jobs.models import Attempt, Report, SavedData

# Each has a column job_id.
BELONGINGS = (Attempt, Report, SavedData)


def remove_belongings(using: str, ids: Collection[UUID]) -> None:
    """Delete everything that belongs to these jobs, in the transaction that deletes the jobs themselves."""
    for model in BELONGINGS:
        model._default_manager.using(using).filter(job_id__in=ids)._raw_delete(using)
