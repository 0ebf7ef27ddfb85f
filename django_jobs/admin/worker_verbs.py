"""What people ask of workers from the list: quiet, resume, stop, restart, and another concurrency."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin import audit
from django_jobs.conf import get_settings
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.workers import MOST_CONCURRENCY, Wish
from django_jobs.models import Worker

CONFIRMED = "confirmed"


class ConcurrencyForm(forms.Form):
    concurrency = forms.IntegerField(
        label=gettext_lazy("Jobs at once"),
        min_value=1,
        max_value=MOST_CONCURRENCY,
        help_text=gettext_lazy("In each of these workers, until its supervisor ends. What runs already goes on."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerVerb:
    """What can be asked of workers. `will` asks before it is done; without it nobody is asked."""

    name: str
    label: Promise
    act: Callable[..., int]
    will: Promise | str = ""
    form: type[forms.Form] = forms.Form
    ends: bool = False


QUIET = WorkerVerb(
    name="quiet", label=gettext_lazy("Quiet: take nothing new"), act=partial(workers.set_quiet, quiet=True)
)
RESUME = WorkerVerb(
    name="resume", label=gettext_lazy("Resume: take jobs again"), act=partial(workers.set_quiet, quiet=False)
)
RESIZE = WorkerVerb(
    name="resize",
    label=gettext_lazy("Change concurrency"),
    act=workers.resize,
    will=gettext_lazy("These workers will run another number of jobs at once."),
    form=ConcurrencyForm,
)
RESTART = WorkerVerb(
    name="restart",
    label=gettext_lazy("Restart"),
    act=partial(workers.ask_to, wish=Wish.RESTART),
    will=gettext_lazy(
        "A fresh process takes the place of each of these workers. What they run may finish, for as long as a stop "
        "lasts, and is handed back then."
    ),
)
STOP = WorkerVerb(
    name="stop",
    label=gettext_lazy("Stop"),
    act=partial(workers.ask_to, wish=Wish.STOP),
    will=gettext_lazy(
        "These workers end, and nobody takes their places until runworkers is started again. What they run may "
        "finish, for as long as a stop lasts, and is handed back then."
    ),
    ends=True,
)


def steer(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, verb: WorkerVerb, chosen: list[Worker]
) -> HttpResponse | None:
    """Ask, or do it and say what came of it."""
    able = [each for each in chosen if workers.is_steerable(each)]
    if not able:
        page.message_user(request, _("None of these workers is alive to hear it."), messages.WARNING)
        return None
    form = verb.form(request.POST if CONFIRMED in request.POST else None)
    if verb.will and not form.is_valid():
        return _ask(page, request, verb, able, form)
    values = form.cleaned_data if form.is_bound else {}
    changed = verb.act(get_settings().DATABASE, [each.pk for each in able], **values)
    did = ngettext("%(count)s worker hears of it.", "%(count)s workers hear of it.", changed) % {"count": changed}
    told = f"{verb.label}: {did}"
    audit.record(request, able, told)
    level = messages.SUCCESS if changed == len(chosen) else messages.WARNING
    if changed < len(chosen):
        others = _("The others had been told before, or do not live.")
        told = f"{told} {others}"
    page.message_user(request, told, level)
    return None


def _ask(
    page: "admin.ModelAdmin[Any]", request: HttpRequest, verb: WorkerVerb, able: list[Worker], form: forms.Form
) -> HttpResponse:
    request.current_app = page.admin_site.name
    ticked = [(helpers.ACTION_CHECKBOX_NAME, str(each.pk)) for each in able]
    context = {
        **page.admin_site.each_context(request),
        "title": verb.label,
        "opts": page.opts,
        "media": page.media,
        "verb": verb,
        "form": form,
        "workers": able,
        "kept": [("action", verb.name), (CONFIRMED, "yes"), *ticked],
        "list": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/django_jobs/worker/confirm.html", context)
