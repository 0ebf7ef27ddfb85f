"""How values look on a page. Everything a job carries is escaped."""

import json
from datetime import datetime, timedelta

from django.db.models import Model
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timezone import localtime
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from django_jobs.conf import get_settings
from django_jobs.definitions.arguments import decode_call, decode_headers
from django_jobs.definitions.durations import in_words
from django_jobs.definitions.keeping import FOR_EVER
from django_jobs.definitions.metadata import as_text
from django_jobs.definitions.redaction import shown_call, shown_likeness, shown_result
from django_jobs.definitions.registry import find_spec
from django_jobs.definitions.sandbox import limits_of
from django_jobs.errors import InvalidArguments
from django_jobs.models import Attempt, Job, Step
from django_jobs.states import State

# What a job can be asked to be; each name is that of a question of the queryset.
PHASES = {
    "blocked": State.BLOCKED.label,
    "ready": State.READY.label,
    "scheduled": _("Scheduled"),
    "retrying": _("Retrying"),
    "running": State.RUNNING.label,
    "successful": State.SUCCESSFUL.label,
    "failed": State.FAILED.label,
    "cancelled": State.CANCELLED.label,
}
# What an attempt came to.
OUTCOMES = {
    "successful": pgettext_lazy("attempt", "successful"),
    "failed": pgettext_lazy("attempt", "failed"),
    "retrying": pgettext_lazy("attempt", "retrying"),
    "ready": pgettext_lazy("attempt", "ready"),
    "stalled": pgettext_lazy("attempt", "stalled"),
    "cancelled": pgettext_lazy("attempt", "cancelled"),
}
NOTHING = "-"
MOST_SHOWN = 80


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


def outcome(attempt: Attempt) -> str:
    return str(OUTCOMES.get(attempt.outcome, attempt.outcome))


def age(job: Job) -> str:
    return in_words(seen_at(job) - job.enqueued_at)


def duration(job: Job) -> str:
    """Return how long the last attempt took, or has taken so far."""
    end = seen_at(job) if job.state == State.RUNNING else job.finished_at
    return NOTHING if job.started_at is None or end is None else in_words(end - job.started_at)


def error(job: Job) -> str:
    """Return how the last attempt failed, or why the job was cancelled, as far as a list has room for it."""
    return Truncator(job.error).chars(MOST_SHOWN)


def seconds(number: float | None) -> str:
    return NOTHING if number is None else in_words(timedelta(seconds=number))


def sandbox(job: Job) -> str:
    """Return whether, and with which limit on memory, a job runs in a process of its own, as far as this code knows."""
    spec = find_spec(job.name)
    if spec is None or spec.sandbox is None:
        return NOTHING
    memory = limits_of(spec.sandbox, get_settings()).memory_megabytes
    return gettext("yes") if memory is None else gettext("yes, up to %(memory)s MiB") % {"memory": memory}


def batch(job: Job) -> str:
    """Return how many jobs share one body at most, as far as this code knows."""
    spec = find_spec(job.name)
    return NOTHING if spec is None or spec.batch is None else gettext("at most %(size)d") % {"size": spec.batch.size}


def likeness(job: Job) -> str | None:
    """Return what a job has in common with those of its batch, or why that cannot be told; None if it is nothing."""
    try:
        return shown_likeness(job.name, job.arguments)
    except (InvalidArguments, TypeError, ValueError) as error:
        return str(error)


def cancel(job: Job) -> str:
    """Return since when a running job has been asked to stop, and why."""
    since = NOTHING if job.cancel_requested_at is None else in_words(ago(job.cancel_requested_at, job))
    return gettext("%(since)s ago: %(reason)s. It may still succeed.") % {
        "since": since,
        "reason": job.error.rstrip("."),
    }


def ago(moment: datetime, row: Model) -> timedelta:
    """Return how long before the row was read the moment was."""
    return max(seen_at(row) - moment, timedelta(0))


def code(text: str) -> SafeString:
    # It may scroll, so the keyboard must reach it.
    return format_html('<pre class="jobs-code" tabindex="0">{}</pre>', text)


def call(job: Job) -> SafeString:
    """Return what the function is called with; what cannot be read as it is stored."""
    try:
        args, kwargs = decode_call(job.arguments)
    except (TypeError, ValueError):
        return code(job.arguments)
    args, kwargs = shown_call(job.name, args, kwargs)
    return pretty({"args": args, "kwargs": kwargs})


def headers(job: Job) -> SafeString | str:
    """Return what middleware sent along."""
    try:
        return pretty(decode_headers(job.headers)) if job.headers else NOTHING
    except ValueError:
        return code(job.headers)


def result(job: Job) -> SafeString | str:
    """Return what the function returned; what cannot be read as it is stored."""
    return _result(job.name, job.result_text)


def _result(name: str, text: str | None) -> SafeString | str:
    if text is None:
        return NOTHING
    try:
        return pretty(shown_result(name, json.loads(text)))
    except ValueError:
        return code(text)


def step(step: Step, job: Job) -> dict[str, object]:
    """Return what the page shows of a step; its result is hidden where that of the job is."""
    return {
        "name": step.name,
        "attempt": step.attempt,
        "finished_at": step.finished_at,
        "duration": in_words(step.finished_at - step.started_at),
        "result": _result(job.name, step.result_text),
        "unused": step.unused,
    }


def metadata(job: Job) -> SafeString | str:
    return format_html_join(", ", "{}={}", ((key, as_text(each)) for key, each in job.metadata.items())) or NOTHING


def keep_until(job: Job) -> str:
    """Return until when the row is kept, in words; nothing while the job has not ended."""
    if job.keep_until is None:
        return NOTHING
    is_for_ever = job.keep_until - seen_at(job) > timedelta(seconds=FOR_EVER) / 2
    return str(_("for ever")) if is_for_ever else localize(localtime(job.keep_until))


def pretty(value: object) -> SafeString:
    """Return a value as JSON, over several lines."""
    return code(json.dumps(value, indent=2, ensure_ascii=False))


def link(url: str, text: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text)
