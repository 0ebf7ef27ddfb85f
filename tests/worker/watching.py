"""What real workers do, seen from the outside: their rows, their processes, and a gate that jobs wait at."""

import fcntl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django_jobs.models import Job, Worker
from tests.project.models import Effect
from tests.rows import fresh
from tests.waiting import wait_until


class Gate:
    """A file whose lock is held until `open` is called; `wait_at` jobs run until then."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._file = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def open(self) -> None:
        self._file.close()


def end_of(job: Job) -> Job:
    """Return the row once the job has ended."""
    wait_until(lambda: fresh(job).is_finished, what=f"the end of {job.name}")
    return fresh(job)


def all_successful(jobs: Sequence[Job]) -> None:
    """Wait until all have succeeded."""
    ids = [job.pk for job in jobs]
    wait_until(
        lambda: Job.objects.filter(pk__in=ids).successful().count() == len(ids), what=f"the success of {len(ids)} jobs"
    )


def runs(job: Job) -> Job:
    """Return the row once the body has left its first effect."""
    wait_until(lambda: Effect.objects.filter(job_id=job.pk).exists(), what=f"the start of {job.name}")
    return fresh(job)


def effects() -> Counter[UUID]:
    """Return how often each job has left an effect."""
    return Counter(Effect.objects.values_list("job_id", flat=True))


def living_workers(count: int = 1) -> list[Any]:
    """Return the rows of the workers that are alive, once there are so many."""
    alive = Worker.objects.filter(dead_at=None)
    wait_until(lambda: alive.count() == count, what=f"{count} living workers")
    return list(alive)


def count_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
