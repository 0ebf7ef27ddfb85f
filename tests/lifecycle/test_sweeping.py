"""A bell that was lost is rung again from the table."""

from datetime import timedelta

import pytest

from django_jobs.lifecycle import sweeping
from django_jobs.lifecycle.sweeping import FRESH_MOST, sweep, sweep_fresh
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transports import Bell
from tests.rows import HOUR, new, now, put

pytestmark = pytest.mark.django_db

TEN_SECONDS = timedelta(seconds=10)


def swept(*queue_names):
    return sum(sweep("default", queue_names))


def test_a_full_sweep_rings_everything_that_is_or_will_soon_be_due(transport):
    expected = [
        put(priority=5),
        put(lifo=True, run_after=now() - 100 * HOUR),
        put(run_after=now() - 100 * HOUR),
        put(run_after=now() + timedelta(minutes=9)),
        put(queue_name="mail"),
    ]
    (
        put(run_after=now() + timedelta(minutes=11)),
        put(suspect=True),
        put(State.RUNNING),
        put(State.BLOCKED),
        put(State.FAILED),
    )
    put(queue_name="other")
    assert swept("default", "mail") == len(expected)
    rung = {bell for each in transport.announced for bell in each}
    assert rung == {Bell(job.pk, job.queue_name, job.rank) for job in expected}


@pytest.mark.parametrize("ring", [lambda: sum(sweep("default")), lambda: sweep_fresh("default")], ids=["full", "fresh"])
def test_whoever_sweeps_does_it_for_all_queues_also_for_those_that_only_rows_name(transport, ring):
    jobs = [put(run_after=now() - TEN_SECONDS, queue_name=name) for name in ("mail", "default", "of other code")]
    assert ring() == len(jobs)
    assert sorted(transport.rung) == sorted(job.pk for job in jobs)


def test_a_full_sweep_goes_on_where_it_was_whatever_the_ranks(transport):
    due, step = now() - HOUR, timedelta(milliseconds=1)
    # A page ends in the midst of jobs with the same rank.
    jobs = [new(run_after=due + number // 700 * step) for number in range(2500)] + [new(lifo=True), new(lifo=True)]
    Job.objects.bulk_create(jobs)
    assert list(sweep("default", ["default"])) == [2, 2000, 500]
    assert sorted(transport.rung) == sorted(job.pk for job in jobs)


def test_a_sweep_of_nothing_rings_nothing(transport):
    assert swept("default") == 0
    assert transport.announced == []


@pytest.mark.parametrize("lifo", [False, True])
@pytest.mark.parametrize(
    ("age", "rings"),
    [
        (timedelta(seconds=0), False),
        (TEN_SECONDS, True),
        (5 * TEN_SECONDS, True),
        (7 * TEN_SECONDS, False),
        (-TEN_SECONDS, False),
    ],
    ids=str,
)
def test_a_fresh_sweep_rings_what_became_due_in_the_last_minute_but_not_just_now(transport, age, rings, lifo):
    job = put(run_after=now() - age, lifo=lifo)
    assert sweep_fresh("default") == int(rings)
    assert transport.rung == ([job.pk] if rings else [])


def test_in_a_fresh_sweep_a_long_backlog_keeps_no_other_queue_waiting(transport):
    due = now() - TEN_SECONDS
    Job.objects.bulk_create([new(run_after=due, queue_name="default") for _ in range(FRESH_MOST)])
    other = put(run_after=due, queue_name="mail")
    assert sweep_fresh("default") == FRESH_MOST // 2 + 1
    assert other.pk in transport.rung


def test_a_fresh_sweep_rings_one_of_each_queue_at_least(transport, monkeypatch):
    monkeypatch.setattr(sweeping, "FRESH_MOST", 1)
    jobs = [put(run_after=now() - TEN_SECONDS, queue_name=name) for name in ("default", "mail")]
    assert sweep_fresh("default") == len(jobs)


@pytest.mark.parametrize("lifo", [False, True])
def test_a_fresh_sweep_of_too_many_rings_the_newest(transport, lifo):
    present = now()
    jobs = Job.objects.bulk_create(
        [
            new(run_after=present - TEN_SECONDS - number * timedelta(milliseconds=10), lifo=lifo)
            for number in range(FRESH_MOST + 100)
        ]
    )
    assert sweep_fresh("default") == FRESH_MOST
    assert set(transport.rung) == {job.pk for job in jobs[:FRESH_MOST]}
