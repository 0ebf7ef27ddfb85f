"""The list of jobs, the page of one, and "run it again"."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from django_jobs.admin import audit, formatting
from django_jobs.admin.read_only import ReadOnlyAdmin
from django_jobs.handles import queues
from django_jobs.lifecycle import control
from django_jobs.models import Job, JobQuerySet

# The newest; a job may have had thousands.
MOST_ATTEMPTS = 50
# What a list never shows and may be large.
NOT_IN_LISTS = ("arguments", "result_text", "error", "idempotency_key", "key_digest", "arguments_digest")


class PhaseFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(formatting.PHASES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        phase = self.value()
        return getattr(queryset, phase)() if phase in formatting.PHASES else queryset


class QueueFilter(admin.SimpleListFilter):
    """The queues that are known: to ask the jobs for theirs would read them all."""

    title = _("queue")
    parameter_name = "queue_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(queue.name, queue.name) for queue in queues]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        name = self.value()
        return queryset.filter(queue_name=name) if name else queryset


class JobList(ChangeList):
    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Job]:
        return super().get_queryset(request, exclude_parameters).defer(*NOT_IN_LISTS)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("phase", "name", "queue_name", "shown_attempt", "age", "duration")
    list_display_links = ("name",)
    list_filter = (PhaseFilter, QueueFilter)
    ordering = ("-id",)
    # Shows the box; what it looks for is said below.
    search_fields = ("id", "name")
    search_help_text = _("The id of a job, or the beginning of a name.")
    actions = ("retry",)

    # The list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        term = search_term.strip()
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            return queryset.filter(name__startswith=term) if term else queryset, False

    @admin.display(description=_("state"))
    def phase(self, job: Job) -> SafeString:
        return formatting.phase(job)

    @admin.display(description=_("attempt"))
    def shown_attempt(self, job: Job) -> str:
        return formatting.attempt(job)

    @admin.display(description=_("age"))
    def age(self, job: Job) -> str:
        return formatting.age(job)

    @admin.display(description=_("duration"))
    def duration(self, job: Job) -> str:
        return formatting.duration(job)

    # The page

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        state = ["phase", "error", "name", "queue_name", "priority", "shown_attempt"]
        timeline = ["enqueued_at", "run_after", "started_at", "finished_at", "duration", "expires_at"]
        behind = ["id", "owner", "starts", "stalls", "suspect", "cancel_requested", "deadline_at", "backoff", "lifo"]
        behind += ["group", "idempotency_key", "key_expires_at"]
        call = [(_("Call"), {"fields": ["shown_arguments", "shown_result"]})]
        return [
            (None, {"fields": state}),
            (_("Timeline"), {"fields": timeline}),
            *(call if self.may_view_payload(request) else []),
            (_("Details"), {"fields": behind, "classes": ["collapse"]}),
        ]

    @admin.display(description=_("arguments"))
    def shown_arguments(self, job: Job) -> SafeString:
        return formatting.call(job)

    @admin.display(description=_("result"))
    def shown_result(self, job: Job) -> SafeString | str:
        return formatting.result(job)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["attempts"] = obj.attempts.order_by("-id")[:MOST_ATTEMPTS]
        context["may_retry"] = obj.is_finished and self.has_retry_permission(request)
        return super().render_change_form(request, context, add, change, form_url, obj)

    # Permissions

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "retry")

    def may_view_payload(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.view_payload")

    # Run again

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.retry_view)
        return [path("<uuid:job_id>/retry/", view, name="django_jobs_job_retry"), *super().get_urls()]

    @admin.action(description=_("Retry selected jobs"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: JobQuerySet) -> None:
        # "All" of a list means as many as the list said there are.
        self._retry(request, list(queryset.values_list("pk", flat=True)[: self.paginator.limit]))

    @method_decorator(require_POST)
    def retry_view(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        """The button on the page of a job."""
        if not self.has_retry_permission(request):
            raise PermissionDenied
        job = get_object_or_404(self.get_queryset(request), pk=job_id)
        self._retry(request, [job.pk])
        page = reverse("admin:django_jobs_job_change", args=[job.pk], current_app=self.admin_site.name)
        return HttpResponseRedirect(page)

    def _retry(self, request: HttpRequest, ids: Sequence[UUID]) -> None:
        retried = control.retry(ids)
        told = ngettext(
            "%(retried)d of %(chosen)d job will run again.",
            "%(retried)d of %(chosen)d jobs will run again.",
            len(ids),
        ) % {"retried": retried, "chosen": len(ids)}
        audit.record(request, self.get_queryset(request), ids, told)
        if retried == len(ids):
            self.message_user(request, told, messages.SUCCESS)
        else:
            self.message_user(request, f"{told} {_('Only jobs that have ended can.')}", messages.WARNING)
