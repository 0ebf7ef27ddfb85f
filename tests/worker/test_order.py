"""One worker that runs one job at a time starts them in the order of their ranks, whoever rings."""

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from django_jobs import retry
from django_jobs.definitions.outcomes import Retried, Snoozed
from django_jobs.lifecycle.dispatching import ring
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job, Worker
from django_jobs.states import State
from django_jobs.transitions.rescuing import rescue
from django_jobs.transports import Bell
from tests.conftest import StartWorkers
from tests.project.jobs import leave_effect
from tests.project.models import Effect
from tests.rows import ERROR, HOUR, claim_one, ended, new, now, put, worker

pytestmark = pytest.mark.django_db(transaction=True)

JOBS = 60
DEFAULT = "default"


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


def started() -> list[UUID]:
    """Return the jobs that left an effect, in the order in which they did."""
    return list(Effect.objects.order_by("pk").values_list("job_id", flat=True))


@pytest.mark.parametrize("transport", ["as the run has it", "database:"])
def test_priority_then_lifo_then_fifo(start_workers: StartWorkers, settings: Any, transport: str):
    if transport == "database:":
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "TRANSPORT": transport}
    expected = mixed_jobs()
    Job.objects.bulk_create(random.sample(expected, JOBS))
    ring([Bell(job.pk, job.queue_name, job.rank) for job in expected])
    assert start_workers("--burst", "--concurrency", "1").wait() == 0
    assert started() == [job.pk for job in expected]


def test_delays_are_over_in_the_order_of_their_ends_and_last_in_first_out_holds_after_them(start_workers: StartWorkers):
    due = now() - timedelta(seconds=1)
    first, second = (put(name=leave_effect.name, run_after=due) for _ in range(2))
    sooner = put(name=leave_effect.name, run_after=due - timedelta(seconds=1))
    last_in = put(name=leave_effect.name, run_after=due, lifo=True)
    urgent = put(name=leave_effect.name, run_after=due, priority=1)
    later = put(name=leave_effect.name, run_after=due + HOUR, priority=100)
    ring([Bell(job.pk, job.queue_name, job.rank) for job in (later, second, first, urgent, last_in, sooner)])
    assert start_workers("--burst", "--concurrency", "1").wait() == 0
    assert started() == [urgent.pk, last_in.pk, sooner.pk, first.pk, second.pk]


def test_a_job_keeps_its_priority_through_a_retry_a_snooze_a_rescue_and_a_retry_by_hand(start_workers: StartWorkers):
    ordinary = [put(name=leave_effect.name, priority=1) for _ in range(3)]
    dead = worker(dead_at=now())
    rescued = put(State.RUNNING, name=leave_effect.name, priority=9, owner=dead, run_after=now() - HOUR)
    by_hand = put(State.FAILED, name=leave_effect.name, priority=8)
    again, later = put(name=leave_effect.name, priority=7), put(name=leave_effect.name, priority=6)
    settle(DEFAULT, [ended(claim_one(again), Retried(ERROR, 0.0)), ended(claim_one(later), Snoozed(0.0))])
    rescue(DEFAULT, [rescued.pk], begun=())
    assert retry(by_hand) == 1
    ring([Bell(job.pk, job.queue_name, job.rank) for job in Job.objects.ready()])
    assert start_workers("--burst", "--concurrency", "1").wait() == 0
    assert started() == [each.pk for each in (rescued, by_hand, again, later, *ordinary)]


def test_a_job_that_is_due_sooner_wakes_a_worker_that_waits_for_a_later_one(
    start_workers: StartWorkers, wait_until: Any
):
    leave_effect.using(run_after=3600).enqueue()
    start_workers("--concurrency", "1")
    wait_until(lambda: Worker.objects.filter(dead_at=None).exists())
    sooner = leave_effect.enqueue()
    wait_until(lambda: started() == [sooner.pk])
    assert Job.objects.scheduled().count() == 1


@pytest.mark.parametrize("seconds", [600, -600], ids=["ahead", "behind"])
@pytest.mark.parametrize("transport", ["as the run has it", "database:"])
def test_the_clock_of_the_database_decides_when_a_job_is_due(
    start_workers: StartWorkers, settings: Any, transport: str, seconds: int
):
    if transport == "database:":
        settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "TRANSPORT": transport}
    due = leave_effect.enqueue()
    leave_effect.using(run_after=300).enqueue()
    wrong_clock = {"DJANGO_JOBS_TEST_IMPORTS": "tests.project.shifted_clock", "DJANGO_JOBS_TEST_SHIFT": str(seconds)}
    assert start_workers("--burst", environment=wrong_clock).wait() == 0
    assert started() == [due.pk]
    assert Job.objects.scheduled().count() == 1
