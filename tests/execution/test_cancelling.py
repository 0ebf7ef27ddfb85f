"""A running job that was asked to cancel: `def` asks, `async def` is told, and who ignores it simply finishes."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager

import pytest

from django_jobs import current_job
from django_jobs.definitions.outcomes import Claim, GivenBack, Stopped, Succeeded
from django_jobs.execution import cancelling
from django_jobs.middleware import JobMiddleware
from tests.execution.bodies import KINDS, act, act_async, claim, raises, run

REASON = "The order was withdrawn."


@pytest.fixture(autouse=True)
def nothing_asked() -> Iterator[None]:
    yield
    cancelling.hear({})


def ask(given: Claim) -> None:
    cancelling.hear({(given.id, given.fence): REASON})


def test_a_body_sees_that_it_was_asked_and_ends_with_the_reason():
    given, seen = claim(act), []

    def body():
        context = current_job()
        assert context is not None
        context.raise_if_cancelled()
        seen.append(context.cancel_requested)
        ask(given)
        seen.append(context.cancel_requested)
        context.raise_if_cancelled()

    assert run(body, given) == Stopped(REASON)
    assert seen == [False, True]


def test_the_task_of_an_async_body_is_cancelled_and_may_clean_up():
    given, seen = claim(act_async), []

    async def body():
        ask(given)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("clean")

    assert run(body, given) == Stopped(REASON)
    assert seen == ["clean"]


def test_an_async_body_is_told_once():
    given = claim(act_async)

    async def body():
        ask(given)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ask(given)
            for _ in range(5):
                await asyncio.sleep(0)
        return "all the same"

    assert run(body, given) == Succeeded('"all the same"')


@KINDS
def test_who_ignores_it_simply_finishes(function):
    given = claim(function)

    def body():
        ask(given)
        return 1

    assert run(body, given) == Succeeded("1")


@KINDS
def test_what_was_asked_before_the_body_began_never_begins(function):
    given = claim(function)
    ask(given)
    assert run(raises(AssertionError("it began")), given) == GivenBack()


@KINDS
def test_a_cancel_is_of_one_attempt_and_of_no_other_job(function):
    given = claim(function)
    cancelling.hear({(given.id, given.fence + 1): REASON, (claim().id, given.fence): REASON})

    def body():
        context = current_job()
        return context is not None and context.cancel_requested

    assert run(body, given) == Succeeded("false")


def test_a_cancel_for_a_task_whose_loop_has_ended_harms_nobody():
    bodies = []

    async def body():
        bodies.append(cancelling._tasks[given.id, given.fence])

    given = claim(act_async)
    run(body, given)
    bodies[0].interrupt()
    bodies[0].strike()
    assert cancelling._tasks == {}


class SlowMiddleware(JobMiddleware):
    @asynccontextmanager
    async def aexecute(self, context):
        cancelling.hear({(context.id, 1): REASON})
        yield


def test_what_was_asked_while_middleware_prepared_the_body_reaches_it(settings):
    settings.DJANGO_JOBS |= {"MIDDLEWARE": [f"{__name__}.SlowMiddleware"]}

    async def body():
        await asyncio.wait_for(asyncio.Event().wait(), 5)

    assert run(body, claim(act_async)) == Stopped(REASON)


def test_who_cancels_itself_is_not_taken_for_asked():
    outcome = run(raises(asyncio.CancelledError()), claim(act_async))
    assert not isinstance(outcome, Stopped | GivenBack)
