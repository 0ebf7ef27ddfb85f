"""runworkers --burst: what can start is run, then the command ends, and its status tells."""

from datetime import timedelta

import pytest

from django_jobs import enqueue_many, queues
from django_jobs.models import Job
from django_jobs.states import State
from tests.conftest import StartWorkers
from tests.project.jobs import add, fail, leave_effect, leave_effect_async, steer, succeed_at
from tests.project.newer_jobs import greet
from tests.rows import fresh
from tests.worker.watching import effects

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def test_a_burst_runs_def_and_async_def_jobs_of_all_queues_once_each_and_ends(start_workers: StartWorkers):
    jobs = enqueue_many([each.request() for each in (leave_effect, leave_effect_async) for _ in range(30)])
    workers = start_workers("--burst", "--processes", "2", "--concurrency", "4")
    assert workers.wait() == 0
    assert {fresh(job).state for job in jobs} == {State.SUCCESSFUL}
    assert effects() == {job.pk: 1 for job in jobs}
    assert "60 attempts ended, 0 jobs failed." in workers.output()


def test_a_burst_runs_retries_and_keeps_every_failed_attempt_with_its_traceback(start_workers: StartWorkers):
    job: Job = succeed_at.enqueue(3)
    failing: Job = fail.enqueue("No such order.")
    workers = start_workers("--burst", "--fail-on-error")
    assert workers.wait() == 1
    job, failing = fresh(job), fresh(failing)
    assert (job.state, job.result, job.attempt) == (State.SUCCESSFUL, 3, 3)
    assert [each.outcome for each in job.attempts.all()] == ["retrying", "retrying", "successful"]
    for attempt in job.attempts.filter(outcome="retrying"):
        assert attempt.error_class == "builtins.ValueError"
        assert f"Attempt {attempt.number} is too early." in attempt.traceback
        assert "succeed_at" in attempt.traceback
    assert (failing.state, failing.error) == (State.FAILED, "ValueError: No such order.")
    assert "No such order." in failing.attempts.get().traceback
    output = workers.output()
    assert f"Job {failing.pk} (tests.project.jobs.fail) failed after 1 of 1 attempts" in output
    assert "Traceback (most recent call last):" in output
    assert "raise ValueError(message)\nValueError: No such order." in output
    assert "4 attempts ended, 1 job failed." in output


def test_failed_jobs_leave_the_status_of_a_burst_alone_unless_it_is_asked_for(start_workers: StartWorkers):
    failing, adding = fail.enqueue("No such order."), add.enqueue(2, 3)
    assert start_workers("--burst").wait() == 0
    assert fresh(failing).state == State.FAILED
    assert (fresh(adding).state, fresh(adding).result) == (State.SUCCESSFUL, 5)
    assert start_workers("--burst", "--fail-on-error").wait() == 0


def test_a_job_steers_its_end_by_what_it_raises(start_workers: StartWorkers):
    jobs = [steer.enqueue(how) for how in ("retry later", "snooze", "give up", "cancel")]
    start_workers("--burst").wait()
    later, snoozed, given_up, cancelled = map(fresh, jobs)
    assert (later.state, later.attempt, later.starts, later.result) == (State.SUCCESSFUL, 2, 2, 2)
    assert [each.message for each in later.attempts.all()] == ["Not yet.", ""]
    assert (snoozed.state, snoozed.attempt, snoozed.starts, snoozed.result) == (State.SUCCESSFUL, 1, 2, 1)
    assert (given_up.state, given_up.attempt, given_up.error) == (State.FAILED, 1, "GiveUp: No use.")
    assert (cancelled.state, cancelled.attempt, cancelled.error) == (State.CANCELLED, 1, "Not needed.")


def test_a_burst_does_not_wait_for_the_future_the_paused_and_the_unknown(start_workers: StartWorkers):
    queues["mail"].pause()
    waiting = [
        leave_effect.using(run_after=timedelta(hours=1)).enqueue(),
        leave_effect_async.enqueue(),
        greet.enqueue("you"),
    ]
    present = leave_effect.enqueue()
    assert start_workers("--burst").wait() == 0
    assert fresh(present).state == State.SUCCESSFUL
    assert [(fresh(job).state, fresh(job).starts) for job in waiting] == [(State.READY, 0)] * 3
