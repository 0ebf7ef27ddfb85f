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
    act = _act_on_all if chose_all(request) else _act_on_ticked
    moved, chosen = act(request, verb, jobs, values)
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


def _act_on_all(request: HttpRequest, verb: Verb, jobs: JobQuerySet, values: dict[str, Any]) -> tuple[int, int]:
    filters = f" (?{request.GET.urlencode()})" if request.GET else ""
    entry = audit.begin(request, Job, _named(verb, f"...{filters}"), flag=_flag(verb))
    moved, chosen = _act(verb, jobs, values)
    audit.finish(entry, chosen, _named(verb, verb.tell(moved, chosen)) + filters)
    return moved, chosen


def _act(verb: Verb, jobs: JobQuerySet | Sequence[Job], values: dict[str, Any]) -> tuple[int, int]:
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


def _kept(request: HttpRequest, verb: Verb) -> list[tuple[str, str]]:
    """Return what the answer must send again, so that it means the same rows."""
    names = ("select_across", "from_page", helpers.ACTION_CHECKBOX_NAME)
    sent = [(name, value) for name in names for value in request.POST.getlist(name)]
    return [("action", verb.name), (CONFIRMED, "yes"), *sent]
