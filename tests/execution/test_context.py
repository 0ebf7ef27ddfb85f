"""A running job knows itself, and nobody else is taken for it."""

import asyncio
import threading
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta

import pytest

from django_jobs import CancelJob, JobContext, Snooze, current_job, current_jobs
from django_jobs.definitions.outcomes import Claim, Succeeded
from django_jobs.execution.context import LazyContext
from django_jobs.execution.execute import aexecute, execute, make_context
from django_jobs.execution.job_data import JobData
from django_jobs.execution.steps import Steps
from django_jobs.lifecycle.reporting import Notes, make_notes_by
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
from tests.threads import together
from tests.worker.clocks import MovedClock, moved_clock

__all__ = ["moved_clock"]


@pytest.fixture
def made() -> Iterator[list[Claim]]:
    """Give the claims for which a context was made: each has notes."""
    claims: list[Claim] = []

    def make(claim: Claim) -> Notes:
        claims.append(claim)
        return Notes(claim)

    make_notes_by(make)
    yield claims
    make_notes_by(Notes)


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


@KINDS
def test_a_body_that_does_not_ask_has_no_context_made(function, made: list[Claim]):
    assert run(lambda number: number, claim(function, 1)) == Succeeded("1")
    assert made == []


@KINDS
def test_however_often_a_body_asks_one_context_is_made(function, made: list[Claim]):
    seen: list[JobContext | None] = []
    given = claim(function)
    run(lambda: seen.extend([current_job(), *current_jobs(), current_job()]), given)
    assert made == [given]
    assert seen[0] is not None
    assert all(each is seen[0] for each in seen)


def test_a_body_that_takes_its_context_has_one_made(made: list[Claim]):
    given = claim(with_context)
    run(lambda context: None, given)
    assert made == [given]


def test_threads_of_a_body_that_ask_at_once_get_the_same_context(made: list[Claim]):
    for _ in range(20):
        given = claim()
        made.clear()

        def body() -> None:
            asked = [copy_context() for _ in range(8)]
            seen = together(len(asked), lambda number, barrier: asked[number].run(current_job))
            assert {id(each) for each in seen} == {id(current_job())}
            assert current_job() is not None

        assert run(body, given) == Succeeded()
        assert made == [given]


def test_a_second_thread_waits_while_the_context_is_made():
    """Or what one of two threads says would be lost."""
    given, begun, go_on = claim(), threading.Event(), threading.Event()
    contexts = []

    def make() -> JobContext:
        begun.set()
        assert go_on.wait(20)
        contexts.append(make_context(given, [], {}))
        return contexts[-1]

    context_of = LazyContext(make)

    def ask(number: int, barrier: threading.Barrier) -> JobContext:
        if number == 1:
            assert begun.wait(20)
            go_on.set()
        return context_of()

    first, second = together(2, ask)
    assert first is second
    assert contexts == [first]


@KINDS
@pytest.mark.parametrize("takes_long", [False, True], ids=["asked at once", "asked late"])
def test_the_deadline_of_a_timed_job_is_reckoned_from_its_start(function, moved_clock: MovedClock, takes_long):
    start, seen = moved_clock.now(), []

    def body() -> None:
        if takes_long:
            moved_clock.seconds += 20
        context = current_job()
        assert context is not None
        seen.append(context.deadline)

    assert run(body, replace(claim(function), timeout=60.0)) == Succeeded()
    assert seen == [start + timedelta(seconds=60)]
