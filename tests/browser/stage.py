"""A shop's jobs as they stand on some afternoon: what pages show when they are looked at and pictured."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django_jobs.models import Attempt, Job, Queue
from django_jobs.states import State
from tests import rows

TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/shop/mail/jobs.py", line 42, in send_receipt
    with smtplib.SMTP(settings.MAIL_HOST, timeout=10) as server:
  File "/usr/lib/python3.13/smtplib.py", line 255, in __init__
    (code, msg) = self.connect(host, port)
  File "/usr/lib/python3.13/socket.py", line 853, in create_connection
    raise exceptions[0]
ConnectionRefusedError: [Errno 111] Connection refused
"""
MESSAGE = "[Errno 111] Connection refused"
NAMES = ("shop.mail.send_receipt", "shop.images.resize", "shop.search.index", "shop.reports.monthly")


def set_up() -> Job:
    """Put the shop's queues, workers and jobs; return the one that failed."""
    present = rows.now()
    Queue.objects.create(name="reports", paused=True, paused_at=present - timedelta(minutes=12))
    died = present - timedelta(minutes=3)
    _worker("worker-3", 812, [], beat_at=died - timedelta(seconds=30), dead_at=died, died=True)
    second = _worker("worker-2", 4712, ["mail", "images"])
    first = _worker("worker-1", 4711, [])
    for number in range(4):
        _put(State.SUCCESSFUL, NAMES[number % 2], 610 - 60 * number, took=0.34 + number)
    _put(State.CANCELLED, "shop.images.resize", 300, error="The product was deleted.")
    failed = _put(
        State.FAILED,
        "shop.mail.send_receipt",
        240,
        took=70.3,
        error=f"ConnectionRefusedError: {MESSAGE}",
        arguments='[[18422],{"language":"de"}]',
        attempt=3,
        max_attempts=3,
        starts=3,
        owner=second,
    )
    _attempts(failed)
    _put(State.READY, "shop.reports.monthly", 170)
    _put(State.READY, "shop.search.index", 130, later=3600)
    busy = "SMTPServerDisconnected: Connection unexpectedly closed"
    _put(State.READY, "shop.mail.send_receipt", 95, later=25, attempt=1, max_attempts=5, error=busy)
    _put(State.RUNNING, "shop.images.resize", 45, owner=first)
    _put(State.RUNNING, "shop.mail.send_receipt", 12, owner=second)
    return failed


def _attempts(job: Job) -> None:
    """Put three attempts, half a minute apart, of which the last is that of the row."""
    for number in (1, 2, 3):
        start = job.enqueued_at + timedelta(seconds=30 * number - 30)
        end = start + timedelta(seconds=10.3)
        Attempt.objects.create(
            job=job,
            number=number,
            worker=job.owner,
            started_at=start,
            finished_at=end,
            outcome="retrying" if number < 3 else "failed",
            error_class="builtins.ConnectionRefusedError",
            message=MESSAGE,
            traceback=TRACEBACK,
        )
    Job.objects.filter(pk=job.pk).update(started_at=start)


def _worker(host: str, pid: int, queues: list[str], **fields: Any) -> UUID:
    fields |= {"version": "0.1.0", "queues": queues, "names": list(NAMES), "concurrency": 10}
    return rows.worker(host=host, pid=pid, **fields)


def _put(state: State, name: str, age: float, *, took: float | None = None, later: float = 0.0, **fields: Any) -> Job:
    """Put a job that was enqueued `age` seconds ago, is due in `later` ones, and, where it has ended, took so many."""
    enqueued = rows.now() - timedelta(seconds=age)
    due = rows.now() + timedelta(seconds=later) if later else enqueued
    fields |= {"enqueued_at": enqueued, "run_after": due}
    if state == State.RUNNING:
        fields["started_at"] = enqueued
    if took is not None:
        fields |= {"started_at": enqueued, "finished_at": enqueued + timedelta(seconds=took)}
    return rows.put(state, name=name, queue_name=name.split(".")[1], **fields)
