"""The queues, with what waits in each, to be paused, resumed and emptied."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from django_jobs.admin import audit
from django_jobs.admin.emptying import VERBS, empty
from django_jobs.admin.formatting import NOTHING
from django_jobs.admin.read_only import ReadOnlyAdmin
from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.errors import InvalidOption
from django_jobs.handles import QueueCounts, queues
from django_jobs.lifecycle import workers
from django_jobs.models import Queue
from django_jobs.transitions.due import now


@admin.register(Queue)
class QueueAdmin(ReadOnlyAdmin):
    fields = ("name", "paused", "paused_at")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show every queue: those that are declared, those that have a row, and those that hold jobs all the same."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
            "media": self.media,
            "rows": self._rows(request),
            "may_pause": self.has_pause_permission(request),
            "verbs": [verb for verb in VERBS.values() if self.may(request, verb.name)],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/django_jobs/queue/change_list.html", context)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "pause")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.pause_view)
        # Each step is a transaction of its own, whatever ATOMIC_REQUESTS says.
        separate = transaction.non_atomic_requests(get_settings().DATABASE)
        empty_view = separate(self.admin_site.admin_view(self.empty_view))
        return [
            path("pause/", view, {"pause": True}, name="django_jobs_queue_pause"),
            path("resume/", view, {"pause": False}, name="django_jobs_queue_resume"),
            *(path(f"{name}/", empty_view, {"verb": name}, name=f"django_jobs_queue_{name}") for name in VERBS),
            *super().get_urls(),
        ]

    @method_decorator(require_POST)
    def pause_view(self, request: HttpRequest, *, pause: bool) -> HttpResponse:
        """Pause or resume the queue that the form names."""
        if not self.has_pause_permission(request):
            raise PermissionDenied
        try:
            queue = queues[request.POST.get("name", "")]
        except InvalidOption as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self._set_paused(request, queue.name, pause)
        return HttpResponseRedirect(reverse("admin:django_jobs_queue_changelist", current_app=self.admin_site.name))

    @method_decorator(require_POST)
    def empty_view(self, request: HttpRequest, *, verb: str) -> HttpResponse:
        """Drain, clean or obliterate the queue that the form names, after two questions."""
        if not self.may(request, verb):
            raise PermissionDenied
        try:
            queue = queues[request.POST.get("name", "")]
        except InvalidOption as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            if response := empty(self, request, VERBS[verb], queue):
                return response
        return HttpResponseRedirect(reverse("admin:django_jobs_queue_changelist", current_app=self.admin_site.name))

    def _set_paused(self, request: HttpRequest, name: str, pause: bool) -> None:
        changed = queues[name].pause() if pause else queues[name].resume()
        if not changed:
            told = _("%(queue)s was paused already.") if pause else _("%(queue)s was not paused.")
            self.message_user(request, told % {"queue": name}, messages.WARNING)
            return
        told = _("%(queue)s is paused; running jobs finish.") if pause else _("%(queue)s goes on.")
        rows = self.get_queryset(request)
        audit.record(request, list(rows.filter(name=name)), told % {"queue": name})
        self.message_user(request, told % {"queue": name}, messages.SUCCESS)

    def _rows(self, request: HttpRequest) -> list[dict[str, Any]]:
        using = get_settings().DATABASE
        stored = {queue.name: queue for queue in self.get_queryset(request)}
        at_work, known = workers.at_work(using, now(using)), workers.known_queues(using)
        return [
            _row(name, stored.get(name), counts, is_served=bool(workers.serving(at_work, name, known)))
            for name, counts in queues.counts().items()
        ]


def _row(name: str, queue: Queue | None, counts: QueueCounts, *, is_served: bool) -> dict[str, Any]:
    oldest = NOTHING if counts.oldest_age is None else in_words(counts.oldest_age)
    is_left_alone = counts.ready > 0 and not is_served
    return {"name": name, "queue": queue, "counts": counts, "oldest": oldest, "is_left_alone": is_left_alone}
