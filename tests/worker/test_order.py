"""One worker that runs one job at a time starts them in the order of their ranks, whoever rings."""

import random
from datetime import timedelta
from typing import Any

import pytest

from django_jobs.lifecycle.dispatching import ring
from django_jobs.models import Job
from django_jobs.transports import Bell
from tests.conftest import StartWorkers
from tests.project.jobs import leave_effect
from tests.project.models import Effect
from tests.rows import new, now

pytestmark = pytest.mark.django_db(transaction=True)

JOBS = 60


def mixed_jobs() -> list[Job]:
    """Return jobs in the order in which they shall start: priority, then last in first out, then first in."""
    start = now() - timedelta(minutes=5)
    jobs = [
        new(
            name=leave_effect.name,
            priority=random.choice((-100, 0, 7)),
            lifo=random.random() < 0.5,
            run_after=start + timedelta(seconds=number),
        )
        for number in range(JOBS)
    ]
    arrived = {job.pk: number for number, job in enumerate(jobs)}
    return sorted(jobs, key=lambda job: (-job.priority, not job.lifo, arrived[job.pk] * (-1 if job.lifo else 1)))


@pytest.mark.parametrize("transport", ["as the run has it", "database:"])
def test_priority_then_lifo_then_fifo(start_workers: StartWorkers, settings: Any, transport: str):
    if transport == "database:":
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "TRANSPORT": transport}
    expected = mixed_jobs()
    Job.objects.bulk_create(random.sample(expected, JOBS))
    ring([Bell(job.pk, job.queue_name, job.rank) for job in expected])
    assert start_workers("--burst", "--concurrency", "1").wait() == 0
    started = list(Effect.objects.order_by("pk").values_list("job_id", flat=True))
    assert started == [job.pk for job in expected]
