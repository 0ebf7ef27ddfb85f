"""The questions that can be asked of jobs."""

from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING
from uuid import UUID

from django.apps import apps
from django.db import models
from django.db.models import Exists, OuterRef, Q

from django_jobs.definitions.identifiers import earliest
from django_jobs.definitions.metadata import Fact, as_text
from django_jobs.models.functions import DatabaseNow
from django_jobs.states import ALIVE, ENDED, State

if TYPE_CHECKING:
    from django_jobs.models.job import Job  # noqa: F401 (the type checker reads it inside of quotes)

# Ids hold the time of the caller's clock, rows that of the database.
CLOCKS_DIFFER = timedelta(hours=1)


class JobQuerySet(models.QuerySet["Job[object]"]):
    """Only asks. Whoever wants to move jobs calls a verb of `django_jobs.lifecycle.control`."""

    def ready(self) -> "JobQuerySet":
        """Jobs that are due and wait for a worker."""
        return self.filter(state=State.READY, run_after__lte=DatabaseNow())

    def scheduled(self) -> "JobQuerySet":
        """Jobs whose time has not come: new ones and those that wait for their next attempt."""
        return self.filter(state=State.READY, run_after__gt=DatabaseNow())

    def retrying(self) -> "JobQuerySet":
        """Jobs that failed before and wait for their next attempt."""
        return self.scheduled().filter(attempt__gt=0)

    def blocked(self) -> "JobQuerySet":
        return self.filter(state=State.BLOCKED)

    def running(self) -> "JobQuerySet":
        return self.filter(state=State.RUNNING)

    def successful(self) -> "JobQuerySet":
        return self.filter(state=State.SUCCESSFUL)

    def failed(self) -> "JobQuerySet":
        return self.filter(state=State.FAILED)

    def cancelled(self) -> "JobQuerySet":
        return self.filter(state=State.CANCELLED)

    def stalled(self) -> "JobQuerySet":
        """Jobs that run on a worker which is dead, until they are rescued."""
        worker = apps.get_model("django_jobs", "Worker")
        return self.running().exclude(Exists(worker.objects.using(self.db).filter(pk=OuterRef("owner"), dead_at=None)))

    def with_metadata(self, **facts: Fact) -> "JobQuerySet":
        """Jobs whose metadata holds all of these facts; numbers and bools are compared as text."""
        jobs = self
        for key, fact in facts.items():
            rows = apps.get_model("django_jobs", "Metadata").objects.using(self.db).filter(key=key, value=as_text(fact))
            jobs = jobs.filter(pk__in=rows.values("job_id"))
        return jobs

    def with_error(self, error_class: str) -> "JobQuerySet":
        """Jobs of which an attempt raised this very class, given by its dotted path."""
        attempts = apps.get_model("django_jobs", "Attempt").objects.using(self.db).filter(error_class=error_class)
        return self.filter(pk__in=attempts.values("job_id"))

    def enqueued_between(self, first: datetime, last: datetime) -> "JobQuerySet":
        """Jobs that were enqueued from `first` on and before `last`."""
        near = (earliest(first - CLOCKS_DIFFER), earliest(last + CLOCKS_DIFFER))
        return self.filter(pk__range=near, enqueued_at__gte=first, enqueued_at__lt=last)

    def alive(self) -> "JobQuerySet":
        # Not IN: in an OR PostgreSQL sees that its partial indexes hold them all, and reads nothing that has ended.
        return self.filter(reduce(or_, (Q(state=state) for state in ALIVE)))

    def ended(self) -> "JobQuerySet":
        return self.filter(state__in=ENDED)

    def oldest_of_newest(self, count: int) -> UUID | None:
        """Return the id with which the newest `count` of these jobs begin, or None if there are fewer."""
        return self.order_by("-pk").values_list("pk", flat=True)[count - 1 : count].first()
