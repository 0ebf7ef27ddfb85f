"""What the list of jobs finds: its filters, its search, and how far back they reach."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.formatting import PHASES
from django_jobs.admin.read_only import MOST_LISTED, CappedPaginator, grouped
from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import key_digest
from django_jobs.definitions.metadata import KEY
from django_jobs.definitions.registry import job_names
from django_jobs.handles import queues
from django_jobs.models import Job, JobQuerySet

STATE = "state"
QUEUE = "queue_name"
WAITING = ("ready", "scheduled", "retrying")
# An index holds these, so that however old and few they are, they are found, and counted to the last.
ALIVE = ("blocked", *WAITING, "running")
# An index holds these too, but they pile up.
PILED_UP = ("failed", "cancelled")
# What a list never shows and may be large.
NOT_IN_LISTS = ("arguments", "result_text", "metadata_text", "idempotency_key", "key_digest", "arguments_digest")


class PhaseFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = STATE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(PHASES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        phase = self.value()
        return getattr(queryset, phase)() if phase in PHASES else queryset


class QueueFilter(admin.SimpleListFilter):
    """The queues that are known: to ask the jobs for theirs would read them all."""

    title = gettext_lazy("queue")
    parameter_name = QUEUE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(each.name, each.name) for each in queues]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        name = queue(request)
        return queryset.filter(queue_name=name) if name else queryset


def queue(request: HttpRequest) -> str:
    """Return the queue that the list is filtered by, or an empty text. No database takes a NUL."""
    return request.GET.get(QUEUE, "").replace("\0", "")


def phase(request: HttpRequest) -> str:
    """Return the state that the list is filtered by, or an empty text."""
    value = request.GET.get(STATE, "")
    return value if value in PHASES else ""


def is_next_first(request: HttpRequest) -> bool:
    """Tell whether the list follows the index over jobs that wait: to give the newest first would sort them all."""
    has_index = connections[get_settings().DATABASE].features.supports_partial_indexes
    return has_index and phase(request) in WAITING


def ordering(request: HttpRequest) -> tuple[str, ...]:
    """Return an order that an index has; on MySQL and MariaDB there is one by state and id."""
    return ("queue_name", "suspect", "rank", "pk") if is_next_first(request) else ("-pk",)


def described(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the filters of a list in words."""
    told = [
        (_("State"), str(PHASES.get(phase(request), ""))),
        (_("Queue"), queue(request)),
        (_("Search"), request.GET.get(SEARCH_VAR, "")),
    ]
    return [(name, value) for name, value in told if value]


def meant(term: str) -> set[UUID]:
    """Return the ids of the jobs that are called by their id, or by an idempotency key of a job that is known."""
    term = term.strip()
    digests = [key_digest(name, term) for name in job_names()]
    jobs = Job.objects.using(get_settings().DATABASE)
    ids = set(jobs.filter(key_digest__in=digests).values_list("pk", flat=True)) if term else set()
    try:
        return {*ids, UUID(term)}
    except ValueError:
        return ids


def fact(term: str) -> dict[str, str]:
    """Return the fact of metadata that a text such as "customer=42" asks for, or nothing."""
    key, equals, value = term.strip().partition("=")
    return {key: value.replace("\0", "")} if equals and KEY.fullmatch(key) else {}


def search(jobs: JobQuerySet, term: str, *, metadata: bool) -> JobQuerySet:
    """Return the jobs that a text means, or those whose names begin with it; with `metadata` by a fact as well."""
    ids = meant(term)
    if metadata and not ids and (facts := fact(term)):
        return jobs.with_metadata(**facts)
    return jobs.filter(pk__in=ids) if ids else jobs.filter(name__startswith=term)


class JobList(ChangeList):
    """A list that reads no more than what lives, or `MOST_LISTED` rows, however large the table is."""

    paginator: CappedPaginator
    model_admin: Any

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Job]:
        self.phase = phase(request)
        self.queue = queue(request)
        self.is_next_first = is_next_first(request)
        self.asks_for_fact = bool(self.query and fact(self.query)) and self.model_admin.may_view_payload(request)
        found = super().get_queryset(request, exclude_parameters).defer(*NOT_IN_LISTS)
        return found if self._start is None else found.filter(pk__gte=self._start)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        is_narrowed = bool(self.phase or self.queue or self.query)
        may_retry = "retry" in self.model_admin.get_actions(request)
        self.offers_retry_of_all = bool(self.result_count) and is_narrowed and may_retry and self.phase not in ALIVE

    @property
    def reach(self) -> str:
        """How far back the list looks, in words; empty if it looks at all that there are."""
        if self._start is None:
            return ""
        if self.phase in PILED_UP:
            text = _("Among the newest %(limit)s jobs in the state %(state)s.")
        else:
            text = _("Among the newest %(limit)s jobs.")
        return text % {"limit": grouped(MOST_LISTED), "state": PHASES.get(self.phase, "")}

    @cached_property
    def _start(self) -> UUID | None:
        """The id from which on jobs are looked at, unless an index leads to all that match."""
        if self.phase in ALIVE or (self.query and (self.asks_for_fact or meant(self.query))):
            return None
        jobs: JobQuerySet = Job.objects.using(get_settings().DATABASE)
        if self.phase not in PILED_UP:
            return jobs.oldest_of_newest(MOST_LISTED)
        if self.queue or self.query:
            return jobs.filter(state=self.phase).oldest_of_newest(MOST_LISTED)
        return None
