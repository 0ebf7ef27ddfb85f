"""The workers: who lives, who died, and what each can run."""

from django.contrib import admin
from django.utils.formats import localize
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin import formatting
from django_jobs.admin.read_only import ReadOnlyAdmin
from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.models import Worker


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("life", "host", "pid", "version", "shown_queues", "concurrency", "beat")
    list_display_links = ("host",)
    ordering = ("-id",)
    fields = (
        *("life", "host", "pid", "supervisor_pid", "version", "concurrency"),
        *("shown_queues", "shown_names", "started_at", "beat_at", "dead_at"),
    )

    @admin.display(description=gettext_lazy("state"))
    def life(self, worker: Worker) -> SafeString:
        if worker.dead_at is not None:
            told = _("Dead since %(moment)s") if worker.died else _("Stopped at %(moment)s")
            kind = "failed" if worker.died else "cancelled"
            return formatting.badge(kind, told % {"moment": localize(localtime(worker.dead_at))})
        if formatting.ago(worker.beat_at, worker).total_seconds() > get_settings().DEAD_AFTER_SECONDS:
            return formatting.badge("retrying", _("Silent"))
        return formatting.badge("successful", _("Alive"))

    @admin.display(description=gettext_lazy("last beat"))
    def beat(self, worker: Worker) -> str:
        return _("%(duration)s ago") % {"duration": in_words(formatting.ago(worker.beat_at, worker))}

    @admin.display(description=gettext_lazy("queues"))
    def shown_queues(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description=gettext_lazy("job names"))
    def shown_names(self, worker: Worker) -> SafeString:
        return formatting.code("\n".join(worker.names))
