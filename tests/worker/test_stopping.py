"""Jobs that take too long, or are not wanted any more, while a worker runs them."""

import pytest

from django_jobs import cancel
from django_jobs.states import State
from tests.conftest import StartWorkers
from tests.project.jobs import add, wait_at
from tests.project.models import Effect
from tests.project.stopping import hangs, ignores, in_a_transaction, polls, turns, turns_async, waits
from tests.rows import fresh
from tests.waiting import wait_until
from tests.worker.watching import Gate, end_of, living_workers, runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

KNOWS = {"DJANGO_JOBS_TEST_IMPORTS": "tests.project.stopping"}
REASON = "The order was withdrawn."


@pytest.mark.parametrize("function", [polls, waits], ids=["def", "async def"])
def test_a_running_job_hears_that_it_was_cancelled_and_keeps_the_reason(start_workers: StartWorkers, function):
    start_workers(environment=KNOWS)
    job = runs(function.enqueue())
    assert cancel(job, REASON) == 1
    ended = end_of(job)
    assert (ended.state, ended.error) == (State.CANCELLED, REASON)
    assert not ended.attempts.exists()


def test_a_job_that_ignores_the_cancel_has_succeeded(start_workers: StartWorkers):
    start_workers(environment=KNOWS)
    job = runs(ignores.enqueue())
    cancel(job, REASON)
    ended = end_of(job)
    assert (ended.state, ended.result, ended.error) == (State.SUCCESSFUL, "done", "")


@pytest.mark.parametrize("function", [turns, turns_async], ids=["def", "async def"])
def test_an_attempt_that_takes_too_long_is_followed_by_another(start_workers: StartWorkers, function):
    start_workers(environment=KNOWS)
    ended = end_of(function.enqueue())
    assert ended.state == State.SUCCESSFUL
    assert ended.result == ended.attempt > 1
    first, *_ = ended.attempts.all()
    assert (first.outcome, first.error_class) == ("retrying", "django_jobs.errors.JobTimeout")
    assert first.message == "The body ran longer than its timeout of 0.5 s."


def test_what_a_body_did_before_its_time_was_up_is_rolled_back_by_its_own_transaction(start_workers: StartWorkers):
    start_workers("--concurrency", "1", environment=KNOWS)
    ended = end_of(in_a_transaction.enqueue())
    assert (ended.state, ended.attempt) == (State.FAILED, 1)
    assert not Effect.objects.exists()
    assert end_of(add.enqueue(1, 2)).result == 3


def test_a_body_that_cannot_be_stopped_ends_with_its_process_and_another_takes_the_place(
    start_workers: StartWorkers, gate: Gate
):
    workers = start_workers(options={"GRACE_SECONDS": 0.3}, environment=KNOWS)
    neighbour = runs(wait_at.enqueue(gate.path))
    job = runs(hangs.enqueue())
    (before,) = living_workers()
    ended = end_of(job)
    assert ended.state == State.SUCCESSFUL
    assert ended.result != str(before.pid)
    first, *_ = ended.attempts.all()
    assert (first.error_class, first.worker) == ("django_jobs.errors.JobTimeout", before.pk)
    wait_until(lambda: Effect.objects.filter(job_id=neighbour.pk).count() == 2, what="the neighbour, handed back")
    gate.open()
    assert end_of(neighbour).stalls == 0
    assert "goes on although its time was up long ago" in workers.output()
    assert "died" not in workers.output()


def test_a_burst_goes_on_after_a_process_was_replaced(start_workers: StartWorkers):
    job = hangs.enqueue()
    workers = start_workers("--burst", options={"GRACE_SECONDS": 0.3}, environment=KNOWS)
    assert workers.wait() == 0
    assert fresh(job).state == State.SUCCESSFUL
