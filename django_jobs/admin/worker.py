"""The workers: who lives, who died, what each can run, and what people ask of them."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from django_jobs.admin import formatting
from django_jobs.admin.read_only import ReadOnlyAdmin
from django_jobs.admin.worker_verbs import QUIET, RESIZE, RESTART, RESUME, STOP, steer
from django_jobs.definitions.durations import in_words
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.workers import Life
from django_jobs.models import Job, Worker
from django_jobs.states import State

# A worker may be given any concurrency.
MOST_JOBS = 100
# The look of a badge, and its text.
LIVES = {
    Life.ALIVE: ("successful", gettext_lazy("Alive")),
    Life.SILENT: ("retrying", gettext_lazy("Silent")),
    Life.STOPPED: ("cancelled", gettext_lazy("Stopped at %(moment)s")),
    Life.DEAD: ("failed", gettext_lazy("Dead since %(moment)s")),
}
ASKED = {
    "quiet": ("retrying", pgettext_lazy("state of a worker", "Quiet")),
    "stopping": ("running", gettext_lazy("Stopping")),
    "restarting": ("running", gettext_lazy("Restarting")),
}


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("life", "host", "pid", "version", "shown_queues", "current_jobs", "beat")
    list_display_links = ("host",)
    ordering = ("-id",)
    actions = ("quiet", "resume", "resize", "restart", "stop")
    fields = (
        ("life", "version", "concurrency"),
        ("host", "pid", "supervisor_pid"),
        ("started_at", "beat_at", "dead_at"),
        "shown_queues",
        "linked_jobs",
        "linked_sandboxes",
        "shown_names",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Count what each runs, by the index over owners; whatever a lost row owned is not shown."""
        running = Job.objects.filter(state=State.RUNNING, owner=OuterRef("pk")).order_by().values("owner")
        counted = running.annotate(count=Count("pk")).values("count")
        rows: QuerySet[Worker] = super().get_queryset(request)
        return rows.annotate(running=Coalesce(Subquery(counted), 0))

    @admin.display(description=gettext_lazy("state"))
    def life(self, worker: Worker) -> SafeString:
        life = workers.life(worker, formatting.seen_at(worker))
        asked = workers.asked_of(worker) if life is Life.ALIVE else ""
        kind, text = ASKED.get(asked, LIVES[life])
        moment = localize(localtime(worker.dead_at)) if worker.dead_at else ""
        told = str(text) % {"moment": moment}
        return formatting.badge(kind, _("%(state)s, by hand") % {"state": told} if workers.is_by_hand(worker) else told)

    @admin.display(description=gettext_lazy("last beat"))
    def beat(self, worker: Worker) -> str:
        return _("%(duration)s ago") % {"duration": in_words(formatting.ago(worker.beat_at, worker))}

    @admin.display(description=gettext_lazy("queues"))
    def shown_queues(self, worker: Worker) -> str:
        return ", ".join(worker.queues) or _("All")

    @admin.display(description=gettext_lazy("current jobs"))
    def current_jobs(self, worker: Worker) -> SafeString | str:
        """How many, of how many at most."""
        count: int = vars(worker)["running"]
        told = f"{count} / {worker.concurrency}"
        page = reverse("admin:django_jobs_worker_change", args=[worker.pk], current_app=self.admin_site.name)
        return formatting.link(page, told) if count else told

    @admin.display(description=gettext_lazy("current jobs"))
    def linked_jobs(self, worker: Worker) -> SafeString | str:
        """The jobs it runs, each with the time it has taken so far."""
        running = Job.objects.using(worker._state.db).filter(state=State.RUNNING, owner=worker.pk)
        jobs = running.only("name", "started_at").order_by("pk")[:MOST_JOBS]
        items = format_html_join("", "<li>{}</li>", ([self._linked(job, worker)] for job in jobs))
        return format_html('<ul class="jobs-list">{}</ul>', items) if items else formatting.NOTHING

    def _linked(self, job: Job, worker: Worker) -> SafeString:
        page = reverse("admin:django_jobs_job_change", args=[job.pk], current_app=self.admin_site.name)
        return format_html(
            "{} {}, {}",
            formatting.link(page, job.name),
            job.short_id,
            in_words(formatting.ago(job.started_at, worker)) if job.started_at else _("not started"),
        )

    @admin.display(description=gettext_lazy("sandboxes"))
    def linked_sandboxes(self, worker: Worker) -> SafeString | str:
        """The processes that it keeps for jobs, each with what it runs, as it said with one of its last beats."""
        told = worker.sandboxes if worker.dead_at is None else []
        jobs = (
            Job.objects.using(worker._state.db)
            .only("name", "started_at")
            .in_bulk([each["job"] for each in told if each["job"]])
        )
        items = format_html_join(
            "", "<li>{}: {}</li>", ([each["pid"], self._does(each, jobs, worker)] for each in told)
        )
        return format_html('<ul class="jobs-list">{}</ul>', items) if items else formatting.NOTHING

    def _does(self, sandbox: dict[str, Any], jobs: dict[UUID, Job], worker: Worker) -> SafeString | str:
        if not sandbox["ready"]:
            return _("not ready yet")
        job = None if sandbox["job"] is None else jobs.get(UUID(sandbox["job"]))
        return _("waits for a job") if job is None else self._linked(job, worker)

    @admin.display(description=gettext_lazy("job names"))
    def shown_names(self, worker: Worker) -> SafeString | str:
        is_for_any = workers.is_by_hand(worker) and not worker.names
        return _("All") if is_for_any else formatting.code("\n".join(worker.names))

    def has_quiet_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "quiet")

    def has_resize_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "resize")

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "stop")

    @admin.action(description=gettext_lazy("Quiet: take nothing new"), permissions=["quiet"])
    def quiet(self, request: HttpRequest, queryset: QuerySet[Worker]) -> HttpResponse | None:
        return steer(self, request, QUIET, list(queryset))

    @admin.action(description=gettext_lazy("Resume: take jobs again"), permissions=["quiet"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Worker]) -> HttpResponse | None:
        return steer(self, request, RESUME, list(queryset))

    @admin.action(description=gettext_lazy("Change concurrency of selected workers"), permissions=["resize"])
    def resize(self, request: HttpRequest, queryset: QuerySet[Worker]) -> HttpResponse | None:
        return steer(self, request, RESIZE, list(queryset))

    @admin.action(description=gettext_lazy("Restart selected workers"), permissions=["stop"])
    def restart(self, request: HttpRequest, queryset: QuerySet[Worker]) -> HttpResponse | None:
        return steer(self, request, RESTART, list(queryset))

    @admin.action(description=gettext_lazy("Stop selected workers"), permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Worker]) -> HttpResponse | None:
        return steer(self, request, STOP, list(queryset))
