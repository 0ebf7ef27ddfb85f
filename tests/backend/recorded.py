"""JobsBackend with the two attributes that Django's own tests expect of a backend: they are written for its dummy."""

from django_jobs.backend import JobsBackend
from django_jobs.compat import AnyResult
from django_jobs.models import Job


class RecordedBackend(JobsBackend):
    @property
    def results(self) -> list[AnyResult]:
        return [self.get_result(str(job.pk)) for job in Job.objects.order_by("pk")]

    def clear(self) -> None:
        Job.objects.all().delete()
