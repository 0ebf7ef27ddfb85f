"""A running job knows itself, and nobody else is taken for it."""

import asyncio
import threading

import pytest

from django_jobs import CancelJob, JobContext, Snooze, current_job, current_jobs
from django_jobs.definitions.outcomes import Succeeded
from django_jobs.execution.execute import aexecute, execute
from django_jobs.execution.job_data import JobData
from django_jobs.execution.steps import Steps
from django_jobs.lifecycle.reporting import Notes
from tests.execution.bodies import (
    ENQUEUED,
    KINDS,
    act_async,
    adds,
    claim,
    current_body,
    raises,
    run,
    with_context,
)


def test_outside_of_any_job_there_is_no_current_one():
    assert current_job() is None
    assert current_jobs() == ()


@KINDS
def test_inside_a_job_the_current_one_is_this(function):
    seen: list[JobContext | None] = []
    given = claim(function, 1, two=2, attempt=3)
    run(lambda *args, **kwargs: seen.append(current_job()), given)
    assert seen == [
        JobContext(
            id=given.id,
            name=function.name,
            queue_name="default",
            attempt=3,
            max_attempts=3,
            starts=7,
            enqueued_at=ENQUEUED,
            worker_id=given.owner,
            args=[1],
            kwargs={"two": 2},
            _notes=Notes(given),
            _data=JobData(given),
            _steps=Steps(given, function.spec),
        )
    ]
    assert seen[0] is not None
    assert seen[0].is_last_attempt
    assert current_job() is None


def test_a_job_that_takes_its_context_gets_the_current_one():
    seen = []
    outcome = run(
        lambda context, *args: seen.append((context, current_job(), current_jobs(), args)), claim(with_context, 1, 2)
    )
    ((context, current, all_current, args),) = seen
    assert context is current
    assert all_current == (context,)
    assert args == (1, 2)
    assert outcome == Succeeded()


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), KeyboardInterrupt(), CancelJob(), Snooze(1)], ids=repr)
def test_the_current_job_ends_with_its_body_whatever_came_of_it(error):
    run(raises(error))
    assert current_job() is None


def test_a_job_run_inside_another_is_the_current_one_until_it_ends():
    seen = []

    def outer():
        inner = claim(adds, 1)
        assert execute(inner) == Succeeded("3")
        seen.append(current_job())

    given = claim()
    run(outer, given)
    assert [context and context.id for context in seen] == [given.id]


def test_the_current_job_is_not_seen_in_other_threads():
    seen = []

    def body():
        thread = threading.Thread(target=lambda: seen.append(current_job()))
        thread.start()
        thread.join()

    run(body)
    assert seen == [None]


def test_async_jobs_that_run_at_the_same_time_each_see_their_own():
    async def both():
        ready = asyncio.Barrier(2)

        async def body(number):
            await ready.wait()
            context = current_job()
            await ready.wait()
            assert context is current_job()
            assert context is not None
            return [number, context.args]

        current_body.set(body)
        return await asyncio.gather(*(asyncio.ensure_future(aexecute(claim(act_async, n))) for n in (1, 2)))

    assert asyncio.run(both()) == [Succeeded("[1,[1]]"), Succeeded("[2,[2]]")]
