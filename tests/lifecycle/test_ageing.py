"""In a queue that asks for ageing no job waits for ever behind more urgent ones."""

import random
from datetime import timedelta

import pytest

from django_jobs.conf import get_settings
from django_jobs.definitions.queues import ageing
from django_jobs.definitions.rank import rank
from django_jobs.errors import InvalidOption
from django_jobs.lifecycle.ageing import age_queue
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.steering import CHUNK
from tests.rows import HOUR, fresh, new, now, put

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def age(seconds=3000):
    return sum(age_queue("default", "default", seconds))


def test_what_has_waited_long_rises_by_one_priority_and_keeps_its_time(transport):
    due = now() - HOUR
    jobs = [put(priority=priority, lifo=lifo, run_after=due) for priority in (-100, 0, 99) for lifo in (True, False)]
    assert age() == len(jobs)
    for job in jobs:
        row = fresh(job)
        assert row.priority == job.priority + 1
        assert row.rank == rank(row.priority, row.lifo, due)
        assert row.run_after == job.run_after
    rung = [bell.rank for bells in transport.announced for bell in bells]
    assert sorted(rung) == sorted(fresh(job).rank for job in jobs)


def test_nothing_else_rises():
    others = [
        put(priority=100, run_after=now() - HOUR),
        put(run_after=now() - MINUTE),
        put(lifo=True, run_after=now() - MINUTE),
        put(run_after=now() + HOUR),
        put(queue_name="mail", run_after=now() - HOUR),
        put(suspect=True, run_after=now() - HOUR),
        put(State.RUNNING, run_after=now() - HOUR),
        put(State.BLOCKED, run_after=now() - HOUR),
        put(State.FAILED, run_after=now() - HOUR),
    ]
    assert age() == 0
    assert [fresh(job).priority for job in others] == [job.priority for job in others]


def test_in_one_round_a_job_rises_once_though_the_next_priority_is_aged_too():
    jobs = [put(priority=priority, run_after=now() - HOUR) for priority in range(5)]
    assert age() == 5
    assert [fresh(job).priority for job in jobs] == [1, 2, 3, 4, 5]


def test_many_rise_in_bounded_steps_oldest_first():
    jobs = [new(run_after=now() - HOUR - timedelta(seconds=number)) for number in range(CHUNK + 10)]
    Job.objects.bulk_create(random.sample(jobs, len(jobs)))
    steps = age_queue("default", "default", 3000)
    assert next(steps) == CHUNK
    assert set(Job.objects.filter(priority=0)) == set(jobs[:10])
    assert list(steps) == [10]


@pytest.mark.parametrize("value", [0, 0.5, -1, "often", True])
def test_a_time_that_cannot_work_is_an_error(settings, value):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {"mail": {"AGEING": value}}}
    with pytest.raises(InvalidOption, match=r"DJANGO_JOBS\['QUEUES'\]\['mail'\]\['AGEING'\] must be"):
        ageing(get_settings(), "mail")


def test_a_queue_ages_only_if_it_says_so(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {"mail": {"AGEING": MINUTE}, "slow": {"PRIORITY": 1}}}
    assert [ageing(get_settings(), name) for name in ("mail", "slow", "default")] == [60, None, None]
