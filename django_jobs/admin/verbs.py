"""The verbs of `lifecycle.control` that people reach from the admin, with the words for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy, pgettext_lazy

from django_jobs.admin.read_only import grouped
from django_jobs.definitions.rank import HIGHEST_PRIORITY, LOWEST_PRIORITY
from django_jobs.lifecycle import control
from django_jobs.models import JobQuerySet
from django_jobs.states import State


class PriorityForm(forms.Form):
    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=LOWEST_PRIORITY,
        max_value=HIGHEST_PRIORITY,
        help_text=_("From -100 to 100; higher starts first."),
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=500,
        help_text=_("Kept with the jobs, and told to those that run."),
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What can be done to jobs. `can` asks for those that it would move; `form` for what else `act` takes."""

    name: str
    label: Promise
    act: Callable[..., int]
    can: Callable[[JobQuerySet], JobQuerySet]
    # "2 of 3 jobs ...": before and after.
    will: Any
    did: Any
    # Why some were left.
    only: Promise
    form: type[forms.Form] = forms.Form
    # Whether it asks before it acts on rows that were ticked one by one; on all that match each verb does.
    asks: bool = False

    def foretell(self, moved: int, chosen: int) -> str:
        return str(self.will % _numbers(moved, chosen))

    def tell(self, moved: int, chosen: int) -> str:
        return str(self.did % _numbers(moved, chosen))


def _numbers(moved: int, chosen: int) -> dict[str, Any]:
    return {"moved": grouped(moved), "chosen": grouped(chosen), "count": chosen}


_RUN_AGAIN = ngettext_lazy(
    "%(moved)s of %(chosen)s job will run again.", "%(moved)s of %(chosen)s jobs will run again.", "count"
)

RETRY = Verb(
    name="retry",
    label=_("Retry"),
    act=control.retry,
    can=JobQuerySet.ended,
    will=_RUN_AGAIN,
    did=_RUN_AGAIN,
    only=_("Only jobs that have ended can."),
)
CANCEL = Verb(
    name="cancel",
    label=_("Cancel"),
    act=control.cancel,
    can=lambda jobs: jobs.alive().filter(cancel_requested=False),
    will=ngettext_lazy(
        "%(moved)s of %(chosen)s job will be cancelled, or asked to stop if it runs.",
        "%(moved)s of %(chosen)s jobs will be cancelled, or asked to stop if they run.",
        "count",
    ),
    did=ngettext_lazy(
        "%(moved)s of %(chosen)s job was cancelled, or asked to stop.",
        "%(moved)s of %(chosen)s jobs were cancelled, or asked to stop.",
        "count",
    ),
    only=_("Only jobs that have not ended can, and each is asked once."),
    form=ReasonForm,
    asks=True,
)
RUN_NOW = Verb(
    name="run_now",
    label=_("Run now"),
    act=control.run_now,
    can=JobQuerySet.scheduled,
    will=ngettext_lazy(
        "%(moved)s of %(chosen)s job will be due at once.", "%(moved)s of %(chosen)s jobs will be due at once.", "count"
    ),
    did=ngettext_lazy("%(moved)s of %(chosen)s job is due now.", "%(moved)s of %(chosen)s jobs are due now.", "count"),
    only=_("Only jobs that wait for their time can be."),
)
REPRIORITIZE = Verb(
    name="reprioritize",
    label=_("Change priority"),
    act=control.reprioritize,
    can=lambda jobs: jobs.filter(state__in=(State.READY, State.BLOCKED)),
    will=ngettext_lazy(
        "%(moved)s of %(chosen)s job will get the priority.",
        "%(moved)s of %(chosen)s jobs will get the priority.",
        "count",
    ),
    did=ngettext_lazy(
        "%(moved)s of %(chosen)s job has the priority now.",
        "%(moved)s of %(chosen)s jobs have the priority now.",
        "count",
    ),
    only=_("Only jobs that wait can."),
    form=PriorityForm,
    asks=True,
)
REMOVE = Verb(
    name="remove",
    label=pgettext_lazy("verb", "Remove"),
    act=control.remove,
    can=lambda jobs: jobs.exclude(state=State.RUNNING),
    will=ngettext_lazy(
        "%(moved)s of %(chosen)s job will be removed for ever, with its attempts and its idempotency key.",
        "%(moved)s of %(chosen)s jobs will be removed for ever, with their attempts and their idempotency keys.",
        "count",
    ),
    did=ngettext_lazy(
        "%(moved)s of %(chosen)s job was removed.", "%(moved)s of %(chosen)s jobs were removed.", "count"
    ),
    only=_("Running jobs stay."),
    asks=True,
)

VERBS = (RETRY, CANCEL, RUN_NOW, REPRIORITIZE, REMOVE)
