"""The list of jobs, the page of one, and the verbs on both."""

from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_jobs.admin import formatting, job_list
from django_jobs.admin.read_only import ReadOnlyAdmin
from django_jobs.admin.report import report_response, shown_report
from django_jobs.admin.steering import steer
from django_jobs.admin.timeline import timeline
from django_jobs.admin.verbs import CANCEL, REMOVE, REPRIORITIZE, RETRY, RUN_NOW, VERBS, Verb
from django_jobs.admin.waiting import reasons
from django_jobs.lifecycle import deduplicating
from django_jobs.models import Job, JobQuerySet, Worker
from django_jobs.states import State

# The newest; a job may have had thousands.
MOST_ATTEMPTS = 50
MOST_STEPS = 200


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("phase", "name", "queue_name", "shown_attempt", "age", "duration", "shown_error")
    list_display_links = ("name",)
    list_filter = (job_list.PhaseFilter, job_list.QueueFilter)
    # Shows the box; what it looks for is said in `job_list`.
    search_fields = ("id", "name")
    search_help_text = _("The id of a job, its idempotency key, the beginning of its name, or metadata: customer=42.")
    actions = ("retry", "cancel", "run_now", "reprioritize", "remove")

    # The list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[job_list.JobList]:
        return job_list.JobList

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return job_list.ordering(request)

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        paginator: Any = super().get_paginator(request, *args, **kwargs)
        paginator.counts_all = job_list.phase(request) in job_list.ALIVE
        return paginator

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[QuerySet[Job], bool]:
        term = search_term.strip()
        may_view = self.may_view_payload(request)
        return job_list.search(queryset, term, metadata=may_view) if term else queryset, False

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

    @admin.display(description=_("error"))
    def shown_error(self, job: Job) -> str:
        return formatting.error(job)

    # The page

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        state = [
            ("phase", "shown_attempt", "priority", "age", "duration"),
            *(["error"] if obj.error else []),
            ("shown_queue", "shown_worker"),
            *(["shown_cancel"] if obj.state == State.RUNNING and obj.cancel_requested else []),
        ]
        arguments = ["shown_arguments", *(["shown_likeness"] if formatting.likeness(obj) is not None else [])]
        call = [*arguments, ("shown_result", "shown_metadata", "shown_headers")]
        behind = [
            ("id", "name", "group"),
            ("run_after", "expires_at"),
            ("shown_timeout", "deadline_at", "shown_sandbox", "shown_batch"),
            ("starts", "max_starts", "stalls", "suspect"),
            ("cancel_requested", "cancel_requested_at"),
            ("backoff", "lifo"),
            ("idempotency_key", "key_expires_at"),
            ("deduplication_mode", "deduplication_key", "deduplication_expires_at"),
            ("duplicates", "shown_holder", "shown_follow_up"),
            "shown_keep_until",
        ]
        return [
            (None, {"fields": state}),
            *([(_("Call"), {"fields": call})] if self.may_view_payload(request) else []),
            (_("Details"), {"fields": behind, "classes": ["collapse"]}),
        ]

    @admin.display(description=_("queue"))
    def shown_queue(self, job: Job) -> SafeString:
        return formatting.link(self._queue_url(job), job.queue_name)

    @admin.display(description=_("worker"))
    def shown_worker(self, job: Job) -> SafeString | str:
        """Who runs it, or ran it last: a link as long as that has a row."""
        worker = Worker.objects.using(job._state.db).filter(pk=job.owner).first() if job.owner else None
        if worker is None:
            return str(job.owner or formatting.NOTHING)
        return formatting.link(self._url("worker_change", worker.pk), worker)

    @admin.display(description=_("cancel requested"))
    def shown_cancel(self, job: Job) -> str:
        return formatting.cancel(job)

    @admin.display(description=_("timeout"))
    def shown_timeout(self, job: Job) -> str:
        return formatting.seconds(job.timeout)

    @admin.display(description=_("sandbox"))
    def shown_sandbox(self, job: Job) -> str:
        return formatting.sandbox(job)

    @admin.display(description=_("batch"))
    def shown_batch(self, job: Job) -> str:
        return formatting.batch(job)

    @admin.display(description=_("waits for"))
    def shown_holder(self, job: Job) -> SafeString | str:
        return self._relative(deduplicating.holder_of(job))

    @admin.display(description=_("follow-up"))
    def shown_follow_up(self, job: Job) -> SafeString | str:
        return self._relative(deduplicating.follow_up_of(job))

    def _relative(self, job: Job | None) -> SafeString | str:
        return formatting.link(self._url("job_change", job.pk), job) if job else formatting.NOTHING

    @admin.display(description=_("arguments"))
    def shown_arguments(self, job: Job) -> SafeString:
        return formatting.call(job)

    @admin.display(description=_("in common with its batch"))
    def shown_likeness(self, job: Job) -> str | None:
        return formatting.likeness(job)

    @admin.display(description=_("headers"))
    def shown_headers(self, job: Job) -> SafeString | str:
        return formatting.headers(job)

    @admin.display(description=_("result"))
    def shown_result(self, job: Job) -> SafeString | str:
        return formatting.result(job)

    @admin.display(description=_("metadata"))
    def shown_metadata(self, job: Job) -> SafeString | str:
        return formatting.metadata(job)

    @admin.display(description=_("kept until"))
    def shown_keep_until(self, job: Job) -> Any:
        return formatting.keep_until(job)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        now = formatting.seen_at(obj)
        attempts = list(obj.attempts.order_by("-id")[:MOST_ATTEMPTS])
        workers = Worker.objects.using(obj._state.db).in_bulk({each.worker for each in attempts})
        context["steps"] = [formatting.step(each, obj) for each in obj.steps.order_by("-id")[:MOST_STEPS]]
        context["shows_results"] = self.may_view_payload(request)
        context["attempts"] = [(each, formatting.outcome(each), workers.get(each.worker)) for each in attempts]
        context["timeline"] = timeline(obj, attempts, now)
        context["report"] = shown_report(obj, with_payload=self.may_view_payload(request))
        context["reasons"] = reasons(obj, now, self._queue_url(obj))
        context["verbs"] = self._verbs_for(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_urls(self) -> list[Any]:
        report = self.admin_site.admin_view(self.report_view)
        return [path("<path:object_id>/report/", report, name="django_jobs_job_report"), *super().get_urls()]

    def report_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return report_response(self, request, object_id, with_payload=self.may_view_payload(request))

    def _url(self, page: str, *args: object) -> str:
        return reverse(f"admin:django_jobs_{page}", args=args, current_app=self.admin_site.name)

    def _queue_url(self, job: Job) -> str:
        """A queue has its place on the page of all, whether it has a row or not."""
        return f"{self._url('queue_changelist')}#queue-{quote(job.queue_name)}"

    def _verbs_for(self, request: HttpRequest, job: Job) -> list[Verb]:
        """Return what this user can do to the job as it is now."""
        row = Job.objects.using(job._state.db).filter(pk=job.pk)
        return [verb for verb in VERBS if self.may(request, verb.name) and verb.can(row).exists()]

    # Permissions

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "retry")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "cancel")

    def has_run_now_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "run_now")

    def has_reprioritize_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "reprioritize")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "remove")

    def may_view_payload(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.view_payload")

    # The verbs: of the list, and of the buttons on the page of a job, which send to the list as well.

    @admin.action(description=_("Retry selected jobs"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._steer(request, RETRY, queryset)

    @admin.action(description=_("Cancel selected jobs"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._steer(request, CANCEL, queryset)

    @admin.action(description=_("Run selected jobs now"), permissions=["run_now"])
    def run_now(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._steer(request, RUN_NOW, queryset)

    @admin.action(description=_("Change priority of selected jobs"), permissions=["reprioritize"])
    def reprioritize(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._steer(request, REPRIORITIZE, queryset)

    @admin.action(description=_("Remove selected jobs"), permissions=["remove"])
    def remove(self, request: HttpRequest, queryset: JobQuerySet) -> HttpResponse | None:
        return self._steer(request, REMOVE, queryset)

    def _steer(self, request: HttpRequest, verb: Verb, jobs: JobQuerySet) -> HttpResponse | None:
        response = steer(self, request, verb, jobs)
        if response is not None or "from_page" not in request.POST:
            return response
        job = jobs.first()
        return HttpResponseRedirect(self._url("job_changelist") if job is None else self._url("job_change", job.pk))
