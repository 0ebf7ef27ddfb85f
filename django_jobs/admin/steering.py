"""From a button to a verb: ask where that is due, act, tell the user, write it down."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, DELETION
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from django_jobs.admin import audit, job_list, long_work
from django_jobs.admin.long_work import go_on
from django_jobs.admin.read_only import grouped
from django_jobs.admin.verbs import REMOVE, Verb
from django_jobs.models import Job, JobQuerySet

# As many are looked at before the clock is.
PAGE = 2_000
# What takes longer than a moment.
MOST_AT_ONCE = 10_000
# In a request's POST: the question was answered with yes.
CONFIRMED = "confirmed"


def chose_all(request: HttpRequest) -> bool:
    """Tell whether the user chose all that match, not rows that were ticked; as Django reads it."""
    return bool(forms.BooleanField(required=False).to_python(request.POST.get("select_across", "")))


def steer(page: "admin.ModelAdmin[Any]", request: HttpRequest, verb: Verb, jobs: JobQuerySet) -> HttpResponse | None:
    """Do it, or return the page that asks first: what will happen, to how many, and whatever else the verb takes."""
    form = verb.form(request.POST if CONFIRMED in request.POST else None)
    # A form that was not sent is not valid.
    is_answered = form.is_valid()
    if (verb.asks or chose_all(request)) and not is_answered:
        return _ask(page, request, verb, jobs, form)
    values = form.cleaned_data if is_answered else {}
    if chose_all(request):
        come, is_done = _act_on_all(request, verb, jobs, values)
        if not is_done:
            told = verb.tell(come.moved, come.chosen)
            kept = [*_kept(request, verb), *_answers(request, form), *come.fields()]
            return go_on(page, request, title=verb.label, told=told, kept=kept, back=request.get_full_path())
        moved, chosen = come.moved, come.chosen
    else:
        moved, chosen = _act_on_ticked(request, verb, jobs, values)
    told = verb.tell(moved, chosen)
    if moved == chosen:
        page.message_user(request, told, messages.SUCCESS)
    else:
        page.message_user(request, f"{told} {verb.only}", messages.WARNING)
    return None


def _act_on_ticked(request: HttpRequest, verb: Verb, jobs: JobQuerySet, values: dict[str, Any]) -> tuple[int, int]:
    ticked = list(jobs.only("name"))
    moved, chosen = _act(verb, ticked, values)
    audit.record(request, ticked, _named(verb, verb.tell(moved, chosen)), flag=_flag(verb))
    return moved, chosen


def _act_on_all(request: HttpRequest, verb: Verb, jobs: JobQuerySet, values: dict[str, Any]) -> tuple["HowFar", bool]:
    """Act until the time of one request is over; return how far it has come, and whether that is all."""
    filters = f" (?{request.GET.urlencode()})" if request.GET else ""
    come = HowFar.read(request) or HowFar(until=jobs.order_by("-pk").values_list("pk", flat=True).first())
    entry = audit.begin(request, Job, _named(verb, f"...{filters}"), flag=_flag(verb))
    end, moved, chosen, is_done = time.monotonic() + long_work.MOST_SECONDS, 0, 0, False
    while not is_done and (not chosen or time.monotonic() < end):
        page = come.next_page(jobs)
        moved_now, chosen_now = _act(verb, page, values) if page else (0, 0)
        moved, chosen, is_done = moved + moved_now, chosen + chosen_now, len(page) < PAGE
        come = replace(come, after=page[-1] if page else come.after)
    audit.finish(entry, chosen, _named(verb, verb.tell(moved, chosen)) + filters)
    return replace(come, moved=come.moved + moved, chosen=come.chosen + chosen), is_done


@dataclass(frozen=True, slots=True, kw_only=True)
class HowFar:
    """How far work on all that match has come, from one request to the next: it goes along the ids.

    `until`: the newest that there was when it was confirmed. What comes later was not meant.
    """

    until: UUID | None
    after: UUID | None = None
    moved: int = 0
    chosen: int = 0

    @classmethod
    def read(cls, request: HttpRequest) -> "HowFar | None":
        """Return what the page before has sent, or None if it is no such page."""
        form = HowFarForm(request.POST)
        return cls(**form.cleaned_data) if form.is_valid() else None

    def fields(self) -> list[tuple[str, object]]:
        return [(name, getattr(self, name)) for name in HowFarForm.base_fields]

    def next_page(self, jobs: JobQuerySet) -> list[UUID]:
        if self.until is None:
            return []
        rows = jobs.filter(pk__lte=self.until).order_by("pk").values_list("pk", flat=True)
        return list((rows if self.after is None else rows.filter(pk__gt=self.after))[:PAGE])


class HowFarForm(forms.Form):
    until = forms.UUIDField()
    after = forms.UUIDField()
    moved = forms.IntegerField(min_value=0)
    chosen = forms.IntegerField(min_value=0)


def _act(verb: Verb, jobs: Sequence[Job] | Sequence[UUID], values: dict[str, Any]) -> tuple[int, int]:
    """Return how many were moved, and how many were looked at."""
    looked_at = 0

    def count(seen: int) -> None:
        nonlocal looked_at
        looked_at = seen

    return verb.act(jobs, progress=count, **values), looked_at


def _named(verb: Verb, told: str) -> str:
    return f"{verb.label}: {told}"


def _flag(verb: Verb) -> int:
    return DELETION if verb is REMOVE else CHANGE


def _ask(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, verb: Verb, jobs: JobQuerySet, form: forms.Form
) -> HttpResponse:
    across = chose_all(request)
    chosen, able = jobs.count(), verb.can(jobs).count()
    request.current_app = page.admin_site.name
    context = {
        **page.admin_site.each_context(request),
        "title": verb.label,
        "opts": page.opts,
        "media": page.media,
        "verb": verb,
        "form": form,
        "jobs": [] if across else list(jobs),
        "filters": job_list.described(request) if across else [],
        "able": able,
        "shown_able": grouped(able),
        "takes_long": able > MOST_AT_ONCE,
        "destroys": verb is REMOVE,
        "foretold": verb.foretell(able, chosen),
        "some_stay": able < chosen,
        "kept": _kept(request, verb),
        "from_page": "from_page" in request.POST,
        "list": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/django_jobs/job/confirm.html", context)


def _answers(request: HttpRequest, form: forms.Form) -> list[tuple[str, object]]:
    return [(name, value) for name in form.fields for value in request.POST.getlist(name)]


def _kept(request: HttpRequest, verb: Verb) -> list[tuple[str, object]]:
    """Return what the answer must send again, so that it means the same rows."""
    names = ("select_across", "from_page", helpers.ACTION_CHECKBOX_NAME)
    sent: list[tuple[str, object]] = [(name, value) for name in names for value in request.POST.getlist(name)]
    return [("action", verb.name), (CONFIRMED, "yes"), *sent]
