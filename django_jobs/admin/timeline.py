"""What happened to a job, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin.formatting import PHASES, badge, outcome
from django_jobs.definitions.durations import in_words
from django_jobs.models import Attempt, Job
from django_jobs.states import State

# What comes so soon after the one before is told without its distance.
AT_ONCE = timedelta(milliseconds=1)
# The times of an attempt and of its job are written by two statements.
SAME = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Event:
    """A moment in a job's life; `after` is its distance from the one before, in words."""

    moment: datetime
    what: str | SafeString
    after: str = ""


def timeline(job: Job, attempts: Sequence[Attempt], now: datetime) -> list[Event]:
    """Return the events of a job from its birth on; of its attempts those that are given."""
    events = [(job.enqueued_at, _("Enqueued")), *_starts_and_ends(attempts)]
    if job.run_after - job.enqueued_at > AT_ONCE:
        events.append((job.run_after, _("Will be due") if job.run_after > now else _("Due")))
    if job.started_at is not None and job.state != State.READY and not _is_kept(job, attempts):
        events.append((job.started_at, _("Attempt %(number)d started") % {"number": job.attempt}))
    if job.finished_at is not None:
        events.append((job.finished_at, badge(job.state, PHASES.get(job.state, job.state))))
    events.sort(key=lambda event: event[0])
    return _with_distances(events)


def _starts_and_ends(attempts: Sequence[Attempt]) -> list[tuple[datetime, str]]:
    events = []
    for each in attempts:
        number = {"number": each.number, "outcome": outcome(each), "error": each.error_class}
        if each.started_at is not None:
            events.append((each.started_at, _("Attempt %(number)d started") % number))
        ended = (
            _("Attempt %(number)d: %(outcome)s, %(error)s")
            if each.error_class
            else _("Attempt %(number)d: %(outcome)s")
        )
        events.append((each.finished_at, ended % number))
    return events


def _is_kept(job: Job, attempts: Sequence[Attempt]) -> bool:
    """Tell whether the job's last attempt is among those that were kept."""
    started = [each.started_at for each in attempts if each.number == job.attempt and each.started_at is not None]
    return job.started_at is not None and any(abs(each - job.started_at) < SAME for each in started)


def _with_distances(events: Sequence[tuple[datetime, str | SafeString]]) -> list[Event]:
    told = []
    before: datetime | None = None
    for moment, what in events:
        distance = timedelta(0) if before is None else moment - before
        told.append(Event(moment, what, in_words(distance) if distance > AT_ONCE else ""))
        before = moment
    return told
