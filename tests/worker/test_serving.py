"""A worker that stays: it hears of new jobs, keeps their times and queues, and shares them with others."""

from datetime import timedelta

import pytest

from django_jobs import enqueue_many, queues
from django_jobs.models import Job
from django_jobs.states import State
from tests.conftest import StartWorkers
from tests.project.jobs import (
    add,
    chain,
    leave_effect,
    leave_effect_async,
    meet,
    meet_async,
    wait_at,
    which_connection,
    which_connection_async,
)
from tests.project.models import Effect
from tests.project.newer_jobs import greet
from tests.rows import fresh
from tests.waiting import wait_until
from tests.worker.watching import Gate, all_successful, effects, end_of, living_workers, runs

pytestmark = pytest.mark.django_db(transaction=True)

# Each of so many, one after the other, would take seconds if it were not for the bell.
MANY = 30


def test_an_idle_worker_hears_of_each_new_job_by_its_bell(start_workers: StartWorkers):
    start_workers()
    end_of(add.enqueue(1, 1))
    assert sum(end_of(add.enqueue(number, 0)).result for number in range(MANY)) == sum(range(MANY))


def test_what_a_running_job_enqueues_is_heard_of_by_its_bell(start_workers: StartWorkers):
    start_workers()
    chain.enqueue(MANY)
    wait_until(lambda: Job.objects.successful().count() == MANY, what="the end of the chain")


def test_a_delayed_job_starts_when_it_is_due_and_an_earlier_one_added_later_comes_first(start_workers: StartWorkers):
    # One at a time: on a busy machine both may be due when the worker looks.
    start_workers("--concurrency", "1")
    end_of(add.enqueue(1, 1))
    second = leave_effect.using(run_after=1.2).enqueue()
    first = leave_effect.using(run_after=0.4).enqueue()
    all_successful([first, second])
    assert list(Effect.objects.order_by("pk").values_list("job_id", flat=True)) == [first.pk, second.pk]
    for job in map(fresh, (first, second)):
        assert job.started_at is not None
        assert job.started_at >= job.run_after - timedelta(milliseconds=50)  # how early a claim may be


def test_jobs_of_a_paused_queue_wait_until_it_is_resumed(start_workers: StartWorkers):
    start_workers()
    end_of(leave_effect_async.enqueue())
    queues["mail"].pause()
    paused = leave_effect_async.enqueue()
    end_of(add.enqueue(1, 1))
    assert (fresh(paused).state, fresh(paused).starts) == (State.READY, 0)
    queues["mail"].resume()
    assert end_of(paused).state == State.SUCCESSFUL


def test_a_worker_serves_only_the_queues_it_was_given(start_workers: StartWorkers):
    other = leave_effect.enqueue()
    start_workers("--queue", "mail")
    assert end_of(leave_effect_async.enqueue()).state == State.SUCCESSFUL
    assert (fresh(other).state, fresh(other).starts) == (State.READY, 0)


def test_a_job_nobody_knows_waits_for_a_worker_that_does_and_holds_up_nobody(start_workers: StartWorkers):
    start_workers()
    unknown = greet.enqueue("you")
    end_of(add.enqueue(1, 1))
    assert (fresh(unknown).state, fresh(unknown).starts) == (State.READY, 0)
    start_workers(environment={"DJANGO_JOBS_TEST_IMPORTS": "tests.project.newer_jobs"})
    assert end_of(unknown).result == "Hello, you."
    knowing = [worker for worker in living_workers(2) if greet.name in worker.names]
    assert len(knowing) == 1


def test_two_workers_share_a_queue_and_run_each_job_once(start_workers: StartWorkers, gate: Gate):
    for _ in range(2):
        start_workers("--concurrency", "1")
    long = [wait_at.enqueue(gate.path) for _ in range(2)]
    assert len({runs(job).owner for job in long}) == 2
    short = enqueue_many([leave_effect.request() for _ in range(200)])
    gate.open()
    all_successful([*long, *short])
    assert effects() == {job.pk: 1 for job in [*long, *short]}


def test_as_many_def_jobs_run_at_once_as_were_asked_for(start_workers: StartWorkers):
    start_workers("--concurrency", "6")
    all_successful(enqueue_many([meet.request(6) for _ in range(6)]))


def test_slow_sync_parts_of_async_jobs_do_not_hold_each_other_up(start_workers: StartWorkers):
    start_workers("--concurrency", "20")
    all_successful(enqueue_many([meet_async.request(20) for _ in range(20)]))


@pytest.mark.parametrize("job", [which_connection, which_connection_async], ids=["def", "async def"])
def test_a_thousand_jobs_use_no_more_connections_than_can_run_at_once(start_workers: StartWorkers, job):
    enqueue_many([job.request() for _ in range(1000)])
    assert start_workers("--burst", "--concurrency", "4").wait() == 0
    results = Job.objects.successful().values_list("result_text", flat=True)
    assert len(results) == 1000
    assert 1 <= len(set(results)) <= 4
