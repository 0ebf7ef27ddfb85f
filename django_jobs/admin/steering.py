"""From a button to a verb: ask where that is due, act, tell the user, write it down."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, DELETION
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from django_jobs.admin import audit, job_list
from django_jobs.admin.read_only import grouped
from django_jobs.admin.verbs import REMOVE, Verb
from django_jobs.models import Job, JobQuerySet

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
    flag = DELETION if verb is REMOVE else CHANGE
    if chose_all(request):
        moved, chosen = _act(verb, jobs, values)
        told = verb.tell(moved, chosen)
        audit.record_many(request, Job, chosen, _named(verb, told), flag=flag)
    else:
        ticked = list(jobs.only("name"))
        moved, chosen = _act(verb, ticked, values)
        told = verb.tell(moved, chosen)
        audit.record(request, ticked, _named(verb, told), flag=flag)
    if moved == chosen:
        page.message_user(request, told, messages.SUCCESS)
    else:
        page.message_user(request, f"{told} {verb.only}", messages.WARNING)
    return None


def _act(verb: Verb, jobs: JobQuerySet | Sequence[Job], values: dict[str, Any]) -> tuple[int, int]:
    """Return how many were moved, and how many were looked at."""
    looked_at = 0

    def count(seen: int) -> None:
        nonlocal looked_at
        looked_at = seen

    return verb.act(jobs, progress=count, **values), looked_at


def _named(verb: Verb, told: str) -> str:
    return f"{verb.label}: {told}"


def _ask(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, verb: Verb, jobs: JobQuerySet, form: forms.Form
) -> HttpResponse:
    ticked = [] if chose_all(request) else list(jobs)
    chosen, able = jobs.count(), verb.can(jobs).count()
    request.current_app = page.admin_site.name
    context = {
        **page.admin_site.each_context(request),
        "title": verb.label,
        "opts": page.opts,
        "media": page.media,
        "verb": verb,
        "form": form,
        "jobs": ticked,
        "filters": job_list.described(request),
        "able": able,
        "shown_able": grouped(able),
        "foretold": verb.foretell(able, chosen),
        "some_stay": able < chosen,
        "kept": _kept(request, verb),
        "from_page": "from_page" in request.POST,
        "list": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/django_jobs/job/confirm.html", context)


def _kept(request: HttpRequest, verb: Verb) -> list[tuple[str, str]]:
    """Return what the answer must send again, so that it means the same rows."""
    names = ("select_across", "from_page", helpers.ACTION_CHECKBOX_NAME)
    sent = [(name, value) for name in names for value in request.POST.getlist(name)]
    return [("action", verb.name), (CONFIRMED, "yes"), *sent]
