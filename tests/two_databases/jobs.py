"""Jobs whose business data is not where they are."""

from django_jobs import JobContext, job
from tests.project.models import Effect


@job(atomic=True, takes_context=True)
def write_and_fail(context: JobContext) -> None:
    Effect.objects.create(job_id=context.id)
    raise ValueError("Not this time.")
