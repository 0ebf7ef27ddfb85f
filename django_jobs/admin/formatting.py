"""How values look on a page. Everything a job carries is escaped."""

import json
from contextlib import suppress
from datetime import datetime, timedelta

from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_jobs.definitions.durations import in_words
from django_jobs.models import Job
from django_jobs.states import State

# What a job's phase is called; the names are those of the querysets.
PHASES = {**dict(State.choices), "scheduled": _("Scheduled"), "retrying": _("Retrying")}


def seen_at(row: Model) -> datetime:
    """Return the database's time at which the row was read."""
    moment: datetime = vars(row)["seen_at"]
    return moment


def badge(kind: str, text: object) -> SafeString:
    """Return a text on a coloured ground; the style sheet knows the kinds."""
    return format_html('<span class="jobs-badge jobs-{}">{}</span>', kind, text)


def phase(job: Job) -> SafeString:
    value = job.phase(seen_at(job))
    return badge(value, PHASES.get(value, value))


def attempt(job: Job) -> str:
    return f"{job.attempt} / {job.max_attempts}"


def age(job: Job) -> str:
    return in_words(seen_at(job) - job.enqueued_at)


def duration(job: Job) -> str | None:
    """Return how long the last attempt took, or has taken so far."""
    if job.started_at is None:
        return None
    if job.state == State.RUNNING:
        return in_words(seen_at(job) - job.started_at)
    return None if job.finished_at is None else in_words(job.finished_at - job.started_at)


def ago(moment: datetime, row: Model) -> timedelta:
    """Return how long before the row was read the moment was."""
    return max(seen_at(row) - moment, timedelta(0))


def code(text: str) -> SafeString:
    return format_html('<pre class="jobs-code">{}</pre>', text)


def pretty_json(text: str) -> SafeString:
    """Return JSON with line breaks; what is no JSON as it is."""
    with suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return code(text)
