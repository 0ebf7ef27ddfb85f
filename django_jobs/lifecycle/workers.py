"""Who works: the rows of workers, judged by the database's clock, and what each of them runs."""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db.models import Count

from django_jobs.conf import get_settings
from django_jobs.definitions.registry import queue_names
from django_jobs.models import Job, Queue, Worker
from django_jobs.states import State


class Life(StrEnum):
    """What a worker's row says of it. A silent one has not beaten for too long, and nobody has judged it yet."""

    ALIVE = "alive"
    SILENT = "silent"
    STOPPED = "stopped"
    DEAD = "dead"


def life(worker: Worker, present: datetime) -> Life:
    """Tell how it stands with a worker at `present`, the database's time."""
    if worker.dead_at is not None:
        return Life.DEAD if worker.died else Life.STOPPED
    is_silent = present - worker.beat_at > timedelta(seconds=get_settings().DEAD_AFTER_SECONDS)
    return Life.SILENT if is_silent else Life.ALIVE


def not_dead(using: str) -> list[Worker]:
    """Return the workers that nobody has declared dead: those that are alive, and the silent ones."""
    return list(Worker.objects.using(using).filter(dead_at=None).order_by("host", "pid", "id"))


def last_dead(using: str, limit: int) -> list[Worker]:
    """Return those that stopped or died last."""
    return list(Worker.objects.using(using).exclude(dead_at=None).order_by("-dead_at")[:limit])


def running_jobs(using: str) -> dict[UUID | None, int]:
    """Count the running jobs of each owner: as many rows as all workers together have in hand."""
    running = Job.objects.using(using).filter(state=State.RUNNING).order_by()
    return dict(running.values_list("owner").annotate(Count("pk")))


def known_queues(using: str) -> list[str]:
    """Return the queues that a worker serves which was given none: those that are declared or have a row."""
    return sorted({*queue_names(), *Queue.objects.using(using).values_list("name", flat=True)})


def serving(workers: Collection[Worker], queue_name: str, known: Collection[str]) -> list[Worker]:
    """Return those of the workers that take jobs from a queue."""
    return [each for each in workers if queue_name in (each.queues or known)]
