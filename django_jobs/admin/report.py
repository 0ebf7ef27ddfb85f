"""What a job says and saves, on its page; while the job runs a script asks for this part again."""

from dataclasses import dataclass
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from django_jobs.admin import formatting
from django_jobs.admin.read_only import grouped
from django_jobs.definitions.progress import Progress
from django_jobs.definitions.redaction import shown_data
from django_jobs.models import Job, LogLine
from django_jobs.states import State

TEMPLATE = "admin/django_jobs/job/report.html"


@dataclass(frozen=True, slots=True)
class ShownReport:
    """The part of the page; what the user may not see is not in it."""

    is_live: bool
    progress: Progress | None
    # A number, or a structure as JSON.
    current: SafeString | str
    percent: int | None
    log: list[LogLine]
    dropped: int
    data: SafeString | None


def shown_report(job: Job, *, with_payload: bool) -> ShownReport | None:
    """Return what is to be shown of a job that says something or may still do so, else None.

    Log and data are payload: they are for those who may view arguments and results.
    """
    is_live = job.state == State.RUNNING
    progress, log, data = job.progress, job.log if with_payload else [], job.data if with_payload else {}
    if not (is_live or progress or log or data):
        return None
    fraction = None if progress is None else progress.fraction
    return ShownReport(
        is_live=is_live,
        progress=progress,
        current="" if progress is None else _current(progress.current),
        percent=None if fraction is None else int(fraction * 100),
        log=log,
        dropped=job.report.dropped if log else 0,
        data=formatting.pretty(shown_data(job.name, data)) if data else None,
    )


def report_response(
    admin: "ModelAdmin[Job]", request: HttpRequest, object_id: str, *, with_payload: bool
) -> HttpResponse:
    """Answer with this part of the page alone. Raises PermissionDenied, Http404."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    job = admin.get_object(request, object_id)
    if job is None:
        raise Http404
    vars(request)["current_app"] = admin.admin_site.name  # urls of the page lead to the same site
    context: dict[str, Any] = {"original": job, "report": shown_report(job, with_payload=with_payload)}
    return TemplateResponse(request, TEMPLATE, context)


def _current(current: Any) -> SafeString | str:
    is_number = isinstance(current, int | float) and not isinstance(current, bool)
    return grouped(current) if is_number else formatting.pretty(current)
