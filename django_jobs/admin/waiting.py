"""Why a job does not run: everything that stands in its way now, in words."""

from collections.abc import Iterator
from datetime import datetime

from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from django_jobs.conf import get_settings
from django_jobs.definitions.durations import in_words
from django_jobs.lifecycle import workers
from django_jobs.models import Job, Queue
from django_jobs.states import State


def reasons(job: Job, now: datetime, queues_page: str) -> list[str]:
    """Return why a job that is blocked or ready has not been started, or is claimed and waits for its batch."""
    if job.state == State.BLOCKED:
        return [_("It waits for other jobs to end.")]
    if job.state == State.RUNNING and job.started_at is None:
        return [_("A worker has claimed it, and waits for others to run it together with.")]
    return list(_reasons(job, now, queues_page)) if job.state == State.READY else []


def _reasons(job: Job, now: datetime, queues_page: str) -> Iterator[str]:
    if job.is_scheduled(now):
        yield _scheduled(job, now)
    if job.expires_at is not None and not job.starts:
        yield _expiring(job.expires_at, now)
    obstacles = list(_obstacles(job, now, queues_page))
    yield from obstacles
    if job.suspect:
        yield _("Workers died under it, so it starts alone, in a process of its own.")
    if not obstacles and not job.is_scheduled(now):
        yield _("It is due, and starts as soon as a worker has room for it and all that comes before it.")


def _scheduled(job: Job, now: datetime) -> str:
    text = (
        _("Its next attempt is at %(moment)s, in %(rest)s.")
        if job.attempt
        else _("It is scheduled for %(moment)s, in %(rest)s.")
    )
    return text % {"moment": localize(localtime(job.run_after)), "rest": in_words(job.run_after - now)}


def _expiring(expires_at: datetime, now: datetime) -> str:
    if expires_at <= now:
        return _("It was not started in time, and is about to be dropped.")
    return _("If it is not started by %(moment)s, in %(rest)s, it is dropped.") % {
        "moment": localize(localtime(expires_at)),
        "rest": in_words(expires_at - now),
    }


def _obstacles(job: Job, now: datetime, queues_page: str) -> Iterator[str]:
    """Say what has to be mended before the job can start."""
    using = get_settings().DATABASE
    if Queue.objects.using(using).filter(name=job.queue_name, paused=True).exists():
        yield format_html(
            _('Its queue <a href="{page}">{queue}</a> is paused.'), page=queues_page, queue=job.queue_name
        )
    yield from _workers_missing(job, now, using)


def _workers_missing(job: Job, now: datetime, using: str) -> Iterator[str]:
    at_work = workers.at_work(using, now)
    known = workers.known_queues(using)
    serving = workers.serving(at_work, job.queue_name, known)
    if not at_work:
        yield _with_cure(_("No worker is alive."), "manage.py runworkers")
    elif not serving and job.queue_name not in known:
        yield _("No live worker serves its queue, and nothing declares it.")
    elif not serving:
        yield _with_cure(_("No live worker serves its queue."), f"manage.py runworkers --queue {job.queue_name}")
    elif not any(workers.knows(each, job.name) for each in at_work):
        yield _("No live worker knows a job of this name.")
    elif not any(workers.knows(each, job.name) for each in serving):
        yield _("No live worker of its queue knows a job of this name.")
    elif all(each.quiet for each in serving):
        yield _with_cure(_("Every live worker of its queue is quiet."), "manage.py jobworkers resume --all")


def _with_cure(reason: str, command: str) -> str:
    return format_html("{} <code>{}</code>", reason, command)
