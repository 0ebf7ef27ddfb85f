"""A claim goes in, an outcome comes out: whatever a body does, it becomes a value, and no worker is harmed."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from django_jobs import Exponential, Fixed, clock
from django_jobs.definitions.outcomes import Failed, GivenBack, Outcome, Retried, Succeeded
from django_jobs.execution.execute import aexecute, execute
from tests.execution.bodies import (
    ENQUEUED,
    KINDS,
    act_async,
    adds,
    claim,
    current_body,
    raises,
    run,
)


@KINDS
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (0, "0"),
        ("é", '"é"'),
        ([1, (2, 3)], "[1,[2,3]]"),
        ({"a": None}, '{"a":null}'),
        (timedelta(days=1), '"P1DT00H00M00S"'),
        (ENQUEUED, '"2026-05-04T03:02:01Z"'),
    ],
)
def test_what_a_body_returns_is_kept_as_json(function, value, text):
    assert run(lambda: value, claim(function)) == Succeeded(text)


@KINDS
def test_a_body_gets_its_arguments(function):
    assert run(lambda *args, **kwargs: [args, kwargs], claim(function, 1, "zwei", drei=[3])) == Succeeded(
        '[[1,"zwei"],{"drei":[3]}]'
    )


def test_an_async_body_may_wait():
    async def body():
        await asyncio.sleep(0)
        return "waited"

    assert run(body, claim(act_async)) == Succeeded('"waited"')


@KINDS
@pytest.mark.parametrize("value", [object, {1, 2}, b"x", float("nan"), "\0", "\ud800", {1: 2}, [[object]]], ids=ascii)
def test_a_result_that_cannot_be_kept_fails_the_job_at_once_and_says_so(function, value):
    outcome = run(lambda: value, claim(function))
    assert isinstance(outcome, Failed)
    assert outcome.error.class_path == "django_jobs.errors.InvalidArguments"
    assert outcome.error.message.startswith("result")


def test_a_result_that_is_too_large_says_how_large_it_may_be(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_RESULT_BYTES": 10}
    assert run(lambda: "x" * 8) == Succeeded('"xxxxxxxx"')
    outcome = run(lambda: "é" * 5)
    assert isinstance(outcome, Failed)
    assert "The result takes 12 bytes as JSON, and 10 are allowed." in outcome.error.message


@KINDS
def test_a_body_that_would_begin_too_late_does_not(function):
    late = replace(claim(function), expires=clock.monotonic())
    assert run(raises(AssertionError("it began")), late) == GivenBack()
    assert run(lambda: 1, replace(late, expires=clock.monotonic() + 60)) == Succeeded("1")


@KINDS
def test_an_error_is_tried_again_after_the_backoff(function):
    outcome = run(raises(ValueError("No such order.")), claim(function, backoff=Fixed(5)))
    assert isinstance(outcome, Retried)
    assert outcome.delay == 5
    assert outcome.error.class_path == "builtins.ValueError"
    assert outcome.error.message == "No such order."
    assert outcome.error.summary == "ValueError: No such order."
    assert "in body" in outcome.error.traceback
    assert isinstance(outcome.error.exception, ValueError)


@KINDS
def test_the_last_attempt_that_fails_fails_the_job(function):
    assert isinstance(run(raises(ValueError()), claim(function, attempt=3, max_attempts=3)), Failed)
    assert isinstance(run(raises(ValueError()), claim(function, attempt=2, max_attempts=3)), Retried)


def test_the_backoff_grows_with_the_attempt():
    grows = claim(backoff=Exponential(2), max_attempts=9)
    delays = [run(raises(ValueError()), replace(grows, attempt=attempt)) for attempt in (1, 2, 3)]
    assert [outcome.delay for outcome in delays if isinstance(outcome, Retried)] == [2, 4, 8]


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("I cannot speak.")


class SaysNothing(Exception):
    def __str__(self):
        return None


class Awkward(Exception):
    def __str__(self):
        raise SystemExit(4)


@KINDS
@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        GeneratorExit(),
        BaseException("of the lowest kind"),
        Speechless(),
        SaysNothing(),
        Awkward(),
        ExceptionGroup("many", [ValueError("one"), ExceptionGroup("inner", [KeyError("two")])]),
        BaseExceptionGroup("base", [SystemExit(1)]),
        ValueError("\0 \ud800 é" * 100_000),
        RecursionError(),
        StopIteration(),
        AssertionError(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_body_raises_becomes_an_outcome_that_any_database_takes(function, error):
    outcome = run(raises(error), claim(function))
    assert isinstance(outcome, Retried)
    for text in (outcome.error.class_path, outcome.error.message, outcome.error.traceback, outcome.error.summary):
        assert "\0" not in text
        text.encode()
        assert len(text) < 110_000
    assert len(outcome.error.summary) <= 500


def test_the_parts_of_a_group_are_in_the_traceback():
    outcome = run(raises(ExceptionGroup("many", [ValueError("the first"), KeyError("the second")])))
    assert isinstance(outcome, Retried)
    assert "the first" in outcome.error.traceback
    assert "the second" in outcome.error.traceback


def test_the_cause_of_an_error_is_in_its_traceback():
    def body():
        try:
            raise KeyError("the cause")
        except KeyError as error:
            raise ValueError("the effect") from error

    outcome = run(body)
    assert isinstance(outcome, Retried)
    assert "the cause" in outcome.error.traceback


@KINDS
def test_an_interrupt_of_the_worker_is_no_fault_of_the_job(function):
    assert run(raises(KeyboardInterrupt()), claim(function, max_attempts=1)) == GivenBack(begun=True)


def test_an_async_body_whose_task_is_cancelled_is_handed_back():
    async def cancelled() -> Outcome:
        begun = asyncio.Event()

        async def body():
            begun.set()
            await asyncio.Event().wait()

        current_body.set(body)
        task = asyncio.ensure_future(aexecute(claim(act_async)))
        await begun.wait()
        task.cancel()
        return await task

    assert asyncio.run(cancelled()) == GivenBack(begun=True)


def test_a_cancellation_that_comes_out_of_the_body_itself_is_an_error_like_any_other():
    outcome = run(raises(asyncio.CancelledError()), claim(act_async))
    assert isinstance(outcome, Retried)
    assert outcome.error.class_path == "asyncio.exceptions.CancelledError"


def test_stored_arguments_that_fit_no_more_fail_the_job_and_say_why():
    outcome = execute(claim(adds, 1, three=3))
    assert isinstance(outcome, Failed)
    assert outcome.error.class_path == "django_jobs.errors.InvalidArguments"
    for part in (
        "execution.adds(one, two=2)",
        "three",
        "1 arguments by position and the arguments three by name",
        "signature has changed",
    ):
        assert part in outcome.error.message


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1,2]", "[[],[]]", "no JSON", '[[1],{"two":"x"},3]'])
def test_stored_arguments_that_mean_nothing_fail_the_job(text):
    assert isinstance(execute(replace(claim(adds), arguments=text)), Failed)


def test_a_name_that_is_not_registered_fails_and_says_where_to_look():
    outcome = execute(replace(claim(), name="execution.atc"))
    assert isinstance(outcome, Failed)
    assert "Did you mean 'execution.act" in outcome.error.message


def test_a_plain_call_runs_the_function_and_nothing_else():
    assert adds(1) == 3


@KINDS
def test_a_long_traceback_keeps_its_beginning_and_its_end(settings, function):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_TRACEBACK_BYTES": 2000}
    outcome = run(raises(ValueError("é" * 5000 + " at the end")), claim(function))
    assert isinstance(outcome, Retried)
    kept = outcome.error.traceback
    assert 1900 < len(kept.encode()) <= 2000
    assert kept.startswith("Traceback")
    assert kept.endswith(" at the end\n")
    assert " bytes cut ...]" in kept
