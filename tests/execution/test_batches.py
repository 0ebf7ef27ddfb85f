"""One body for many claims: each gets an outcome of its own, whatever the body does."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest

from django_jobs import Batch, BatchItem, CancelJob, GiveUp, RateLimited, current_job, current_jobs, job
from django_jobs.definitions.outcomes import Claim, Failed, GivenBack, Outcome, Retried, Snoozed, Stopped, Succeeded
from django_jobs.errors import AlreadyEnded, InvalidArguments, InvalidOption
from django_jobs.execution import cancelling
from django_jobs.execution.batches import aexecute_together, execute_together
from django_jobs.lifecycle import reporting
from django_jobs.middleware import JobMiddleware
from tests.execution.bodies import claim

body_of_batch: ContextVar[Callable[[list[BatchItem]], Any]] = ContextVar("body_of_batch")


@job(name="execution.together", batch=Batch(size=10))
def together(items: list[BatchItem]) -> Any:
    return body_of_batch.get()(items)


@job(name="execution.together_async", batch=Batch(size=10))
async def together_async(items: list[BatchItem]) -> Any:
    value = body_of_batch.get()(items)
    return await value if asyncio.iscoroutine(value) else value


@job(name="execution.together_choosy", batch=Batch(size=10), retry_on=LookupError)
def choosy(items: list[BatchItem]) -> Any:
    return body_of_batch.get()(items)


KINDS = pytest.mark.parametrize("function", [together, together_async], ids=["def", "async def"])


@pytest.fixture(autouse=True)
def nothing_asked() -> Iterator[None]:
    yield
    cancelling.hear({})


def run(body: Callable[[list[BatchItem]], Any], claims: list[Claim]) -> list[Outcome]:
    token = body_of_batch.set(body)
    try:
        if claims[0].name == together_async.name:
            return asyncio.run(aexecute_together(claims))
        return execute_together(claims)
    finally:
        body_of_batch.reset(token)


def numbered(function: Any, count: int = 3, **changes: Any) -> list[Claim]:
    return [replace(claim(function, number), **changes) for number in range(count)]


@KINDS
def test_a_body_gets_all_of_its_jobs_and_returns_a_result_for_each(function):
    claims = numbered(function)
    assert run(lambda items: [item.args[0] * 10 for item in items], claims) == [
        Succeeded("0"),
        Succeeded("10"),
        Succeeded("20"),
    ]


@KINDS
def test_each_item_is_the_context_of_its_own_job(function):
    first, second = replace(claim(function, 1), headers='{"tenant":"a"}'), claim(function, x=2, attempt=2)
    seen: list[Any] = []

    def body(items):
        seen.extend((each.id, each.args, each.kwargs, each.attempt, each.headers, each.queue_name) for each in items)

    assert run(body, [first, second]) == [Succeeded(), Succeeded()]
    assert seen == [
        (first.id, [1], {}, 1, {"tenant": "a"}, "default"),
        (second.id, [], {"x": 2}, 2, {}, "default"),
    ]


@KINDS
@pytest.mark.parametrize("number", [1, 3])
def test_the_body_and_what_surrounds_it_run_for_all_items_and_for_no_single_job(function, number, settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MIDDLEWARE": [f"{__name__}.Recording"]}
    Recording.current.clear()
    claims = numbered(function, number)

    def body(items):
        assert current_job() is None
        assert current_jobs() == tuple(items)

    assert run(body, claims) == [Succeeded()] * number
    assert Recording.current == [[claim.id for claim in claims]]
    assert current_jobs() == ()


@KINDS
def test_one_that_must_not_begin_is_not_among_the_current_jobs(function):
    late, wanted = numbered(function, 1, expires=0.0)[0], claim(function)
    seen: list[Any] = []
    run(lambda items: seen.extend(each.id for each in current_jobs()), [late, wanted])
    assert seen == [wanted.id]


@KINDS
def test_one_fails_alone_by_its_own_attempt_and_the_rest_succeeds(function):
    first, second, last = claim(function, attempt=1), claim(function, attempt=2), claim(function, attempt=3)

    def body(items):
        items[0].fail(ValueError("No such order."))
        items[2].fail("Gone.")
        return ["dropped", "kept", "dropped"]

    retried, kept, failed = run(body, [first, second, last])
    assert isinstance(retried, Retried)
    assert (retried.error.summary, retried.delay) == ("ValueError: No such order.", 5)
    assert kept == Succeeded('"kept"')
    assert isinstance(failed, Failed)
    assert failed.error.summary == "BatchItemFailed: Gone."


@KINDS
def test_what_steers_a_job_steers_an_item(function):
    errors: list[Any] = [GiveUp("No use."), CancelJob("Not needed."), RateLimited(7)]

    def body(items):
        for item, error in zip(items, errors, strict=False):
            item.fail(error)
        items[3].retry_later(9, "Not yet.")
        items[4].fail(ValueError("once"), retry=False)

    gave_up, stopped, snoozed, later, once = run(body, numbered(function, 5))
    assert isinstance(gave_up, Failed)
    assert stopped == Stopped("Not needed.")
    assert snoozed == Snoozed(7)
    assert isinstance(later, Retried)
    assert (later.delay, later.error.message) == (9, "Not yet.")
    assert isinstance(once, Failed)


@KINDS
@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3)], ids=["error", "exit"])
def test_an_error_of_the_body_is_one_of_each_item_that_has_no_end_of_its_own(function, error: BaseException):
    def body(items):
        items[1].fail(GiveUp("Mine."))
        raise error

    first, own, last = run(body, [claim(function), claim(function), claim(function, attempt=3)])
    assert isinstance(first, Retried)
    assert isinstance(own, Failed)
    assert own.error.message == "Mine."
    assert isinstance(last, Failed)


def test_the_rules_of_retries_hold_for_items():
    def body(items):
        items[0].fail(KeyError("a"))
        items[1].fail(ValueError("b"))

    retried, failed = run(body, numbered(choosy, 2))
    assert (type(retried), type(failed)) == (Retried, Failed)


@KINDS
@pytest.mark.parametrize("value", [7, "abc", {"a": 1}, [1, 2], [1, 2, 3, 4], range(3)], ids=repr)
def test_what_is_no_list_of_a_result_for_each_fails_all_and_is_told(function, value):
    def body(items):
        items[0].fail(GiveUp("Mine."))
        return value

    own, *others = run(body, numbered(function))
    assert isinstance(own, Failed)
    assert own.error.message == "Mine."
    for each in others:
        assert isinstance(each, Failed)
        assert "must return None, or a list of 3 results" in each.error.message


@KINDS
def test_a_result_that_cannot_be_kept_fails_its_own_item(function):
    first, second, third = run(lambda items: (1, object(), 3), numbered(function))
    assert (first, third) == (Succeeded("1"), Succeeded("3"))
    assert isinstance(second, Failed)
    assert second.error.class_path == "django_jobs.errors.InvalidArguments"


@KINDS
def test_who_was_cancelled_or_is_too_late_is_not_among_the_items(function):
    cancelled, late, wanted = numbered(function)
    cancelling.hear({(cancelled.id, cancelled.fence): "Not needed."})
    late = replace(late, expires=0.0)
    seen: list[Any] = []
    outcomes = run(lambda items: seen.extend(item.id for item in items), [cancelled, late, wanted])
    assert outcomes == [GivenBack(), GivenBack(), Succeeded()]
    assert seen == [wanted.id]


@KINDS
def test_a_body_that_none_may_begin_does_not_begin(function):
    assert run(lambda items: 1 / 0, numbered(function, 2, expires=0.0)) == [GivenBack(), GivenBack()]


@KINDS
def test_one_that_cannot_be_read_fails_alone(function):
    broken, fine = replace(claim(function), headers="{"), claim(function)
    failed, succeeded = run(lambda items: None, [broken, fine])
    assert isinstance(failed, Failed)
    assert succeeded == Succeeded()


@KINDS
def test_an_end_is_said_once_and_in_time(function):
    kept: list[BatchItem] = []

    def body(items):
        kept.extend(items)
        items[0].fail("first")
        with pytest.raises(AlreadyEnded):
            items[0].fail("second")
        with pytest.raises(InvalidArguments, match="by an exception or a text, not by 7"):
            items[1].fail(7)
        with pytest.raises(InvalidOption, match="The delay of retry_later"):
            items[1].retry_later(-1)

    assert [type(each) for each in run(body, numbered(function, 2))] == [Retried, Succeeded]
    with pytest.raises(AlreadyEnded):
        kept[1].fail("too late")


@KINDS
def test_the_list_belongs_to_the_body(function):
    assert run(lambda items: items.clear(), numbered(function)) == [Succeeded()] * 3


def test_steps_are_refused_and_say_what_to_do_instead():
    (outcome,) = run(lambda items: items[0].step("one", int), numbered(together, 1))
    assert isinstance(outcome, Failed)
    assert "runs in batches, which have no steps" in outcome.error.message


def test_steps_are_refused_in_an_async_body():
    (outcome,) = run(lambda items: items[0].astep("one", int), numbered(together_async, 1))
    assert isinstance(outcome, Failed)
    assert "runs in batches, which have no steps" in outcome.error.message


@KINDS
def test_one_item_that_was_cancelled_does_not_end_the_body(function):
    first, *_ = claims = numbered(function, 2)

    def body(items):
        cancelling.hear({(first.id, first.fence): "Not needed."})
        assert [item.cancel_requested for item in items] == [True, False]
        items[1].raise_if_cancelled()

    for outcome in run(body, claims):
        assert isinstance(outcome, Failed)
        assert "item.cancel_requested" in outcome.error.message

    async def waits(items):
        cancelling.hear({(first.id, first.fence): "Not needed."})
        await asyncio.sleep(0.02)

    cancelling.hear({})
    if function is together_async:
        assert run(waits, claims) == [Succeeded(), Succeeded()]


def hangs(items):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass


async def hangs_async(items):
    items[0].fail(GiveUp("Mine."))
    await asyncio.sleep(30)


@pytest.mark.parametrize(("function", "body"), [(together, hangs), (together_async, hangs_async)], ids=["def", "async"])
def test_a_body_that_takes_too_long_is_over_for_all_of_its_items(function, body):
    first, *others = run(
        body, [*numbered(function, 2, timeout=0.05), replace(claim(function, attempt=3), timeout=0.05)]
    )
    assert type(first) is (Retried if function is together else Failed)
    retried, failed = others
    assert isinstance(retried, Retried)
    assert isinstance(failed, Failed)
    for each in (retried, failed):
        assert each.error.class_path == "django_jobs.errors.JobTimeout"
        assert each.error.message == "The body ran longer than its timeout of 0.05 s."


def test_an_async_body_that_is_cut_off_goes_back_but_for_items_that_have_an_end():
    async def story() -> list[Outcome]:
        began = asyncio.Event()

        async def body(items):
            items[0].fail(GiveUp("Mine."))
            began.set()
            await asyncio.sleep(30)

        body_of_batch.set(body)
        task = asyncio.create_task(aexecute_together(numbered(together_async)))
        await began.wait()
        task.cancel()
        return await task

    own, *others = asyncio.run(story())
    assert isinstance(own, Failed)
    assert others == [GivenBack(begun=True)] * 2


class Recording(JobMiddleware):
    seen: list[Any] = []
    current: list[Any] = []

    @contextmanager
    def execute(self, context):
        self.seen.append((context.id, context.headers))
        self.current.append([each.id for each in current_jobs()])
        yield


@KINDS
def test_middleware_surrounds_the_body_once(function, settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MIDDLEWARE": [f"{__name__}.Recording"]}
    Recording.seen.clear()
    claims = numbered(function, headers='{"tenant":"a"}')
    assert run(lambda items: None, claims) == [Succeeded()] * 3
    assert Recording.seen == [(claims[0].id, {"tenant": "a"})]


@KINDS
def test_each_item_has_a_progress_and_a_log_of_its_own(function):
    claims = numbered(function, 2)

    def body(items):
        for item in items:
            item.progress(item.args[0], 2)
            item.log(f"item {item.args[0]}")

    run(body, claims)
    rows = [each.row() for each in reporting.take_last(claims)]
    assert [row.job_id for row in rows] == [each.id for each in claims]
    for number, row in enumerate(rows):
        assert f"item {number}" in row.log_text
