"""drain, clean, obliterate on the page of queues: choose, see how many, confirm, and go on until it is done."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import DELETION
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from django_jobs.admin import audit, long_work
from django_jobs.admin.formatting import PHASES
from django_jobs.admin.long_work import go_on
from django_jobs.admin.read_only import grouped
from django_jobs.errors import QueueIsBusy
from django_jobs.handles import QueueHandle
from django_jobs.lifecycle.emptying import CLEANABLE, cleanable
from django_jobs.models import JobQuerySet, Queue
from django_jobs.states import State

# In a request's POST: how far it has come.
CHOSEN, CONFIRMED, REMOVED = "chosen", "confirmed", "removed"


class DrainForm(forms.Form):
    scheduled = forms.BooleanField(label=gettext_lazy("Also jobs that are not due yet"), required=False)


class CleanForm(forms.Form):
    state = forms.ChoiceField(label=gettext_lazy("State"), choices=[(each, PHASES[each]) for each in CLEANABLE])
    days = forms.FloatField(
        label=gettext_lazy("Older than so many days"),
        min_value=0,
        max_value=100_000,
        initial=7,
        help_text=gettext_lazy("Since they ended, or since they were enqueued if they have not."),
    )


class ObliterateForm(forms.Form):
    force = forms.BooleanField(
        label=gettext_lazy("Even while jobs run"),
        required=False,
        help_text=gettext_lazy("They are asked to cancel, and whatever they come to is dropped."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptying:
    """A verb that removes jobs of a queue: `jobs` that it would remove, and what does it."""

    name: str
    label: Promise
    form: type[forms.Form]
    jobs: Callable[..., JobQuerySet]
    act: Callable[..., int]


class TimeIsUp(Exception):
    """Raised between two steps, of which each is committed."""


def _obliterate(queue: QueueHandle, *, force: bool, progress: Callable[[int], None]) -> int:
    """Keep the queue paused from one request to the next."""
    was_open = queue.pause()
    try:
        return queue.obliterate(force=force, progress=progress)
    except QueueIsBusy:
        if was_open:
            queue.resume()
        raise


VERBS = {
    verb.name: verb
    for verb in (
        Emptying(
            name="drain",
            label=pgettext_lazy("verb", "Drain"),
            form=DrainForm,
            jobs=lambda queue, scheduled: queue.jobs().filter(state=State.READY) if scheduled else queue.jobs().ready(),
            act=QueueHandle.drain,
        ),
        Emptying(
            name="clean",
            label=pgettext_lazy("verb", "Clean"),
            form=CleanForm,
            jobs=lambda queue, state, days: cleanable(queue.name, state, timedelta(days=days)),
            act=lambda queue, state, days, progress: queue.clean(state, timedelta(days=days), progress=progress),
        ),
        Emptying(
            name="obliterate",
            label=gettext_lazy("Obliterate"),
            form=ObliterateForm,
            jobs=lambda queue, force: queue.jobs(),
            act=_obliterate,
        ),
    )
}


def empty(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, verb: Emptying, queue: QueueHandle
) -> HttpResponse | None:
    """Take the next step: ask what, say how many, act; return the page, or None when it is done."""
    form = verb.form(request.POST if CHOSEN in request.POST else None)
    if not form.is_valid():
        return _page(page, request, verb, queue, form=form)
    if CONFIRMED not in request.POST:
        count = verb.jobs(queue, **form.cleaned_data).count()
        return _page(page, request, verb, queue, kept=_kept(request, form), count=count)
    try:
        removed, is_done = _act(verb, queue, form.cleaned_data)
    except QueueIsBusy:
        told = _("Jobs of %(queue)s run, so nothing was changed. Wait until they have ended, or choose: %(force)s.")
        force = ObliterateForm.base_fields["force"].label
        page.message_user(request, told % {"queue": queue.name, "force": force}, messages.ERROR)
        return None
    told = ngettext("%(count)s job was removed.", "%(count)s jobs were removed.", removed)
    _record(request, verb, queue, form, told % {"count": grouped(removed)})
    total = removed + _number(request.POST.get(REMOVED))
    if not is_done:
        kept = [("name", queue.name), *_kept(request, form), (CONFIRMED, "yes"), (REMOVED, total)]
        told = _("%(count)s removed so far.") % {"count": grouped(total)}
        return go_on(page, request, title=_title(verb, queue), told=told, kept=kept, back=_list(page))
    told = ngettext("%(count)s job of %(queue)s was removed.", "%(count)s jobs of %(queue)s were removed.", total)
    page.message_user(request, told % {"count": grouped(total), "queue": queue.name}, messages.SUCCESS)
    return None


def _act(verb: Emptying, queue: QueueHandle, chosen: dict[str, Any]) -> tuple[int, bool]:
    """Return how many were removed within the time, and whether that was all."""
    end, removed = time.monotonic() + long_work.MOST_SECONDS, 0

    def look_at_the_clock(count: int) -> None:
        nonlocal removed
        removed = count
        if time.monotonic() >= end:
            raise TimeIsUp

    try:
        return verb.act(queue, **chosen, progress=look_at_the_clock), True
    except TimeIsUp:
        return removed, False


def _record(request: HttpRequest, verb: Emptying, queue: QueueHandle, form: forms.Form, told: str) -> None:
    chosen = ", ".join(f"{name}={value}" for name, value in form.cleaned_data.items())
    entry = audit.begin(request, Queue, f"{verb.label} ({chosen}): {told}", flag=DELETION)
    entry.object_repr = queue.name
    entry.save(update_fields=["object_repr"])


def _page(
    page: "admin.ModelAdmin[Any]",
    request: HttpRequest,
    verb: Emptying,
    queue: QueueHandle,
    *,
    form: forms.Form | None = None,
    kept: list[tuple[str, object]] | None = None,
    count: int | None = None,
) -> HttpResponse:
    request.current_app = page.admin_site.name
    context = {
        **page.admin_site.each_context(request),
        "title": _title(verb, queue),
        "opts": page.opts,
        "media": page.media,
        "verb": verb,
        "queue": queue,
        "counts": queue.counts() if form is not None else None,
        "form": form,
        "kept": kept or [],
        "count": count,
        "shown_count": None if count is None else grouped(count),
        "list": _list(page),
    }
    return TemplateResponse(request, "admin/django_jobs/queue/empty.html", context)


def _title(verb: Emptying, queue: QueueHandle) -> str:
    return _("%(verb)s %(queue)s") % {"verb": verb.label, "queue": queue.name}


def _list(page: "admin.ModelAdmin[Any]") -> str:
    return reverse("admin:django_jobs_queue_changelist", current_app=page.admin_site.name)


def _kept(request: HttpRequest, form: forms.Form) -> list[tuple[str, object]]:
    """Return what the next request must send again, so that it means the same."""
    sent = [(name, value) for name in form.fields for value in request.POST.getlist(name)]
    return [(CHOSEN, "yes"), *sent]


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 12 else 0
