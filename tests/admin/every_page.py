"""Every kind of page there is, with something on it, for what must hold on all of them."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.urls import reverse

from django_jobs.definitions.progress import Progress, to_text
from django_jobs.models import Attempt, Job, LogLine, Queue, Report, SavedData, Step
from django_jobs.models.report import line_text
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, QUEUES, WORKERS, Page, all_matching, job_page, selection

NAME = {"name": "mail"}


class Rows(NamedTuple):
    """What the pages show; jobs by the value of their state."""

    jobs: dict[str, Job]
    queue: Queue
    worker: UUID


def put_rows() -> Rows:
    worker = rows.worker(names=["samples.note"])
    rows.worker(quiet=True)
    rows.worker(asked_to="stop")
    rows.worker(asked_to="restart")
    rows.worker(beat_at=rows.now() - rows.HOUR)
    for died in (False, True):
        rows.worker(dead_at=rows.now(), died=died)
    queue = Queue.objects.create(name="mail", paused=True, paused_at=rows.now())
    later: dict[str, Any] = {
        "run_after": rows.now() + rows.HOUR,
        "enqueued_at": rows.now(),
        "expires_at": rows.now() + 2 * rows.HOUR,
    }
    jobs: dict[str, Job] = {
        "ready": rows.put(suspect=True),
        "scheduled": rows.put(queue_name="mail", metadata_text='{"customer":42}', **later),
        "retrying": rows.put(attempt=1, max_attempts=2, **later),
        "failed": rows.put(State.FAILED, keep_until=rows.now() + rows.HOUR, started_at=rows.now()),
        "running": rows.put(State.RUNNING, owner=worker, cancel_requested=True, cancel_requested_at=rows.now()),
        "claimed": rows.put(State.RUNNING, owner=worker, started_at=None),
        **{state: rows.put(state) for state in (State.BLOCKED, State.SUCCESSFUL, State.CANCELLED)},
    }
    outcomes = ("retrying", "stalled", "ready", "cancelled", "failed")
    for number, outcome in enumerate(outcomes, start=1):
        moments = {"started_at": rows.now(), "finished_at": rows.now() + timedelta(seconds=number)}
        words = {"error_class": "builtins.ValueError", "traceback": "ValueError: 7"} if number % 2 else {}
        Attempt.objects.create(job=jobs["failed"], number=number, worker=worker, outcome=outcome, **words, **moments)
    _say(jobs["running"])
    return Rows(jobs, queue, worker)


def _say(job: Job) -> None:
    line = line_text(LogLine(1, rows.now(), "7"))
    texts = {"progress_text": to_text(Progress(1250, 5000)), "log_text": line}
    Report.objects.create(job=job, fence=job.fence, dropped=7, **texts)
    SavedData.objects.create(job=job, fence=job.fence, text='{"7":7}')
    Step.objects.create(job=job, name="7", attempt=1, started_at=rows.now(), finished_at=rows.now(), unused=True)


def render(client: Any, put: Rows) -> dict[str, Page]:
    """Return each page by name, as this client sees it. Nothing is changed."""
    jobs = put.jobs
    empty = {verb: reverse(f"admin:django_jobs_queue_{verb}") for verb in ("drain", "clean", "obliterate")}
    several = [jobs["failed"].pk, jobs["ready"].pk]
    responses = {
        "list": client.get(JOBS),
        "filtered": client.get(JOBS, {"state": "failed"}),
        "next first": client.get(JOBS, {"state": "ready"}),
        **{name: client.get(job_page(job)) for name, job in jobs.items()},
        **{verb: client.post(JOBS, selection(*several, action=verb)) for verb in ("cancel", "reprioritize", "remove")},
        "all": client.post(f"{JOBS}?state=failed", all_matching()),
        "history": client.get(reverse("admin:django_jobs_job_history", args=[jobs["failed"].pk])),
        "queues": client.get(QUEUES),
        "queue": client.get(reverse("admin:django_jobs_queue_change", args=[put.queue.pk])),
        **{verb: client.post(url, NAME) for verb, url in empty.items()},
        "drain, counted": client.post(empty["drain"], {**NAME, "chosen": "yes"}),
        "workers": client.get(WORKERS),
        "worker": client.get(reverse("admin:django_jobs_worker_change", args=[put.worker])),
        **{verb: client.post(WORKERS, selection(put.worker, action=verb)) for verb in ("resize", "restart", "stop")},
        "index": client.get(reverse("admin:app_list", args=["django_jobs"])),
    }
    refused = {name: response.status_code for name, response in responses.items() if response.status_code != 200}
    assert refused == {}
    return {name: Page(response) for name, response in responses.items()}
