"""Whoever waits for a job gets its result or a clear error, and does not storm the database for it."""

import asyncio
import threading
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from django_jobs import Job, JobCancelled, JobFailed, cancel, remove
from django_jobs.definitions.outcomes import Failed, Succeeded
from django_jobs.lifecycle.settling import settle
from django_jobs.models import awaiting
from django_jobs.states import State
from tests.rows import ERROR, ended, fresh, put, running
from tests.threads import own_connections

pytestmark = pytest.mark.django_db(transaction=True)


def succeed(claim, result="[1]"):
    settle("default", [ended(claim, Succeeded(result))])


def soon(act):
    """Do something in another thread once the waiting has begun."""

    def run():
        with own_connections({}):
            act()

    timer = threading.Timer(0.1, run)
    timer.start()
    return timer


def await_all(*jobs, timeout=20.0):
    async def answers():
        return await asyncio.gather(*(job.await_result(timeout) for job in jobs), return_exceptions=True)

    found = list(async_to_sync(answers)())
    thread = awaiting._watch._thread
    if thread is not None:
        thread.join(20)
    return found


def answer_sync(job, timeout=20.0):
    try:
        return job.wait(timeout)
    except Exception as error:
        return error


def answer_async(job, timeout=20.0):
    return await_all(job, timeout=timeout)[0]


BOTH = pytest.mark.parametrize("answer", [answer_sync, answer_async], ids=["wait", "await_result"])


@BOTH
def test_a_job_that_has_ended_answers_at_once(answer):
    assert answer(put(State.SUCCESSFUL, result_text='{"a":1}')) == {"a": 1}
    assert answer(put(State.SUCCESSFUL)) is None


@BOTH
def test_the_result_comes_when_the_job_ends(answer):
    job, claim = running()
    timer = soon(lambda: succeed(claim))
    assert answer(job) == [1]
    timer.join()
    assert job.is_finished  # the instance is as its row now


@BOTH
def test_a_failure_is_an_error_that_says_why(answer):
    job, claim = running()
    timer = soon(lambda: settle("default", [ended(claim, Failed(ERROR))]))
    error = answer(job)
    timer.join()
    assert isinstance(error, JobFailed)
    assert str(error) == f"Job {job.pk} (samples.note) failed. ValueError: No such order."


@BOTH
def test_a_cancelled_job_is_an_error_that_says_why(answer):
    job = put()
    timer = soon(lambda: cancel(job.pk, "Not needed."))
    error = answer(job)
    timer.join()
    assert isinstance(error, JobCancelled)
    assert str(error) == f"Job {job.pk} (samples.note) was cancelled. Not needed."


@BOTH
def test_a_job_that_goes_on_for_too_long_is_a_timeout_and_goes_on(answer):
    job, _ = running()
    error = answer(job, 0.05)
    assert isinstance(error, TimeoutError)
    assert str(error) == f"Job {job.pk} (samples.note) has not ended within 0.05 seconds. It goes on all the same."
    assert fresh(job).state == State.RUNNING


@BOTH
def test_a_job_that_is_removed_is_told(answer):
    job = put()
    timer = soon(lambda: remove(job.pk))
    error = answer(job)
    timer.join()
    assert isinstance(error, Job.DoesNotExist)
    assert "was removed" in str(error)
    assert isinstance(answer(Job(pk=uuid4(), name="samples.note")), Job.DoesNotExist)


def test_inside_of_a_transaction_nobody_waits_for_ever():
    job = put()
    with transaction.atomic(), pytest.raises(TransactionManagementError, match="Wait after the transaction"):
        job.wait(20)
    done = put(State.SUCCESSFUL, result_text="1")
    with transaction.atomic():
        assert done.wait(20) == 1


def test_a_long_wait_looks_seldom():
    pauses = awaiting.rests()
    first = [next(pauses) for _ in range(30)]
    assert first == sorted(first)
    assert first[0] <= 0.05
    assert first[-1] == 1.0
    assert sum(pause < 1 for pause in first) <= 12


def test_all_that_are_awaited_are_asked_for_in_one_statement(monkeypatch):
    pairs = [running() for _ in range(20)]
    statements: list[int] = []
    look = awaiting._ended

    def ended_of(jobs):
        if len(jobs) < 20 and not statements:
            return set()  # not all have come yet
        if not statements:
            settle("default", [ended(claim, Succeeded(str(number))) for number, (_, claim) in enumerate(pairs)])
        with CaptureQueriesContext(connection) as queries:
            over = look(jobs)
        statements.append(len(queries))
        return over

    monkeypatch.setattr(awaiting, "_ended", ended_of)
    assert await_all(*(job for job, _ in pairs)) == list(range(20))
    assert statements == [1]


def test_nobody_is_looked_for_once_nobody_waits():
    job, _ = running()
    assert isinstance(answer_async(job, 0.01), TimeoutError)
    assert awaiting._watch._awaited == {}
    assert awaiting._watch._thread is None


def test_two_who_await_one_job_both_get_its_result():
    job, claim = running()
    timer = soon(lambda: succeed(claim, "5"))
    assert await_all(job, fresh(job), fresh(job)) == [5, 5, 5]
    timer.join()


def test_a_cancelled_wait_waits_no_more():
    job, _ = running()

    async def main():
        task = asyncio.create_task(awaiting._watch.end_of(job))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async_to_sync(main)()
    assert awaiting._watch._awaited == {}


@pytest.mark.parametrize(
    ("state", "status", "finished"),
    [
        (State.BLOCKED, "READY", False),
        (State.READY, "READY", False),
        (State.RUNNING, "RUNNING", False),
        (State.SUCCESSFUL, "SUCCESSFUL", True),
        (State.FAILED, "FAILED", True),
        (State.CANCELLED, "FAILED", True),
    ],
)
def test_a_job_reads_like_a_result_of_djangos_tasks(state, status, finished):
    job = put(state, result_text="7" if state == State.SUCCESSFUL else None)
    assert (job.status, job.is_finished) == (status, finished)
    if state == State.SUCCESSFUL:
        assert job.return_value == 7
    else:
        with pytest.raises(ValueError, match="Task failed" if finished else "Task has not finished yet"):
            job.return_value  # noqa: B018


def test_a_job_is_refreshed_in_place():
    job, claim = running()
    succeed(claim, "3")
    assert job.state == State.RUNNING
    job.refresh()
    assert (job.state, job.result) == (State.SUCCESSFUL, 3)
