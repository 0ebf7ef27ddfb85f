"""A step is done once: what it came to is kept, and a later attempt goes on after it."""

import asyncio
import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connection, connections, transaction

from django_jobs import JobContext, job
from django_jobs.definitions.outcomes import Claim, Ended, Failed, Outcome, Retried, Succeeded
from django_jobs.execution.execute import aexecute, execute
from django_jobs.lifecycle import control
from django_jobs.lifecycle.rescuing import rescue_worker
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job, Step
from django_jobs.transitions.claiming import claim_ids
from tests.execution.bodies import current_body
from tests.project.models import Effect
from tests.rows import fresh, worker
from tests.threads import elsewhere, together

pytestmark = pytest.mark.django_db(transaction=True)


@job(name="execution.steps", takes_context=True, max_attempts=3)
def act(context: JobContext) -> Any:
    return current_body.get()(context)


@job(name="execution.steps_async", takes_context=True, max_attempts=3)
async def act_async(context: JobContext) -> Any:
    return await current_body.get()(context)


@job(name="execution.steps_atomic", takes_context=True, atomic=True)
def act_atomically(context: JobContext) -> Any:
    return current_body.get()(context)


def claim_of(id: UUID) -> Claim:
    (claim,) = claim_ids("default", worker(), [id], [fresh(id).name])
    return claim


def a_claim(function: Any = act) -> Claim:
    return claim_of(function.enqueue().pk)


def run(body: Callable[..., Any], claim: Claim) -> Outcome:
    token = current_body.set(body)
    try:
        return asyncio.run(run_async(claim)) if claim.name == act_async.name else execute(claim)
    finally:
        current_body.reset(token)


async def run_async(claim: Claim) -> Outcome:
    """Run it as a slot of a worker does: with a thread for the sync parts, whose connections end with it."""
    async with ThreadSensitiveContext():
        try:
            return await aexecute(claim)
        finally:
            await sync_to_async(connections.close_all)()


def again(claim: Claim, outcome: Outcome) -> Claim:
    """Write an outcome down and claim the job for its next attempt."""
    settle("default", [Ended(claim, outcome, 0.0, 1.0)])
    control.run_now(claim.id)
    return claim_of(claim.id)


def take_away(claim: Claim) -> Claim:
    """Declare the worker dead and claim the job for another one."""
    rescue_worker("default", claim.owner, begun=())
    return claim_of(claim.id)


def steps_of(claim: Claim) -> dict[str, Any]:
    return {step.name: step.result for step in Step.objects.filter(job_id=claim.id)}


def both(body: Callable[..., Any]) -> Any:
    """Run a story for `def` and for `async def`: `step(context, name, function)` is what differs."""

    @functools.wraps(body)
    def test(kind, *args, **kwargs):
        return body(kind, *args, **kwargs)

    return pytest.mark.parametrize("kind", ["def", "async def"])(test)


def story(kind: str, steps: dict[str, Callable[[], Any]], then: Callable[[], Any] = lambda: None) -> Any:
    """Return a body that takes these steps and then does something."""

    def body(context):
        results = [context.step(name, function) for name, function in steps.items()]
        then()
        return results

    async def async_body(context):
        results = [await context.astep(name, function) for name, function in steps.items()]
        then()
        return results

    return body if kind == "def" else async_body


def start(kind: str) -> Claim:
    return a_claim(act if kind == "def" else act_async)


def gives(value: object) -> Callable[[], Any]:
    return lambda: value


def fails() -> None:
    raise ValueError("The shop is closed.")


@both
def test_an_attempt_goes_on_after_the_last_step_that_was_done(kind):
    claim, done = start(kind), []

    def step(number):
        def do():
            done.append(number)
            return number

        return do

    steps = {f"step {number}": step(number) for number in range(1, 5)}
    outcome = run(story(kind, {**steps, "step 3": fails}), claim)
    assert isinstance(outcome, Retried)
    assert (done, steps_of(claim)) == ([1, 2], {"step 1": 1, "step 2": 2})
    second = again(claim, outcome)
    assert run(story(kind, steps), second) == Succeeded("[1,2,3,4]")
    assert done == [1, 2, 3, 4]
    assert [step.attempt for step in fresh(claim.id).steps.all()] == [1, 1, 2, 2]


@both
def test_every_attempt_sees_what_json_made_of_a_result(kind):
    claim, values = start(kind), [(1, 2), {"a": timedelta(1)}, None, "ü", False, 1.5]
    steps = {str(number): gives(value) for number, value in enumerate(values)}
    seen = '[[1,2],{"a":"P1DT00H00M00S"},null,"ü",false,1.5]'
    first = run(story(kind, steps), claim)
    assert first == Succeeded(seen)
    assert run(story(kind, dict.fromkeys(steps, fails)), claim) == Succeeded(seen)


def test_a_coroutine_function_is_awaited_and_its_arguments_are_passed_on():
    async def add(one, *, name):
        await asyncio.sleep(0)
        return [one, name, connection.in_atomic_block]

    async def body(context):
        return await context.astep("add", add, 1, name="two")

    assert run(body, a_claim(act_async)) == Succeeded('[1,"two",false]')


def test_positions_and_names_are_passed_on_whatever_they_are_called():
    def function(*args, **kwargs):
        return [args, kwargs]

    outcome = run(lambda context: context.step("s", function, 1, name="n", function="f", context=3), a_claim())
    assert outcome == Succeeded('[[1],{"name":"n","function":"f","context":3}]')


def test_steps_that_run_at_the_same_time_are_all_kept():
    async def body(context):
        return await asyncio.gather(*(context.astep(f"page {n}", asyncio.sleep, 0, n) for n in range(5)))

    claim = a_claim(act_async)
    assert run(body, claim) == Succeeded("[0,1,2,3,4]")
    assert len(steps_of(claim)) == 5


def test_the_times_of_a_step_are_those_of_the_database():
    claim = a_claim()
    run(story("def", {"one": lambda: None}), claim)
    step = Step.objects.get()
    assert fresh(claim.id).enqueued_at - timedelta(seconds=1) <= step.started_at <= step.finished_at


@both
def test_the_same_name_twice_in_one_attempt_fails_the_job_and_says_what_to_do(kind):
    async def async_body(context):
        await context.astep("page", lambda: 1)
        await context.astep("page", lambda: 2)

    def body(context):
        context.step("page", lambda: 1)
        context.step("page", lambda: 2)

    outcome = run(body if kind == "def" else async_body, start(kind))
    assert isinstance(outcome, Failed)
    assert outcome.error.message.startswith("Step 'page' was asked for twice in one attempt.")


def test_a_step_that_failed_may_be_asked_for_again():
    def body(context):
        try:
            context.step("call", fails)
        except ValueError:
            return context.step("call", lambda: "at last")

    assert run(body, a_claim()) == Succeeded('"at last"')


@both
@pytest.mark.parametrize("value", [object(), float("nan"), b"bytes", {1: 2}], ids=lambda value: type(value).__name__)
def test_a_result_that_is_no_json_fails_the_job_at_once_and_names_the_step(kind, value):
    claim = start(kind)
    outcome = run(story(kind, {"charge": lambda: value}), claim)
    assert isinstance(outcome, Failed)
    assert outcome.error.class_path == "django_jobs.errors.InvalidStep"
    assert outcome.error.message.startswith("result of step 'charge'")
    assert steps_of(claim) == {}


def test_a_result_that_is_too_large_is_not_kept(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_RESULT_BYTES": 10}
    outcome = run(story("def", {"read": lambda: "x" * 9}), a_claim())
    assert isinstance(outcome, Failed)
    assert "The result of step 'read' takes 11 bytes as JSON, and 10 are allowed." in outcome.error.message


@pytest.mark.parametrize("name", ["", "x" * 201, " a", "a ", "a\n", "a\0b", "\ud800", 7, None], ids=repr)
def test_a_name_that_cannot_be_kept_apart_is_refused(name):
    outcome = run(lambda context: context.step(name, lambda: None), a_claim())
    assert isinstance(outcome, Failed)
    assert "name of a step" in outcome.error.message


def test_names_are_equal_byte_for_byte():
    names = ["page", "Page", "pagé", "page é", "x" * 200, "x" * 199, "ß", "ss"]
    outcome = run(story("def", {name: gives(name) for name in names}), claim := a_claim())
    assert isinstance(outcome, Succeeded)
    assert list(steps_of(claim)) == names


def test_an_async_function_in_a_plain_step_is_told_to_be_awaited():
    async def function(): ...

    outcome = run(lambda context: context.step("s", function), a_claim())
    assert isinstance(outcome, Failed)
    assert "Write: await context.astep(...)" in outcome.error.message


def test_a_plain_step_in_an_async_job_is_told_to_be_awaited():
    async def body(context):
        context.step("s", lambda: None)

    outcome = run(body, a_claim(act_async))
    assert isinstance(outcome, Failed)
    assert "await context.astep(...)" in outcome.error.message


def test_a_step_in_a_transaction_of_the_body_is_kept_if_that_commits():
    def body(context):
        try:
            with transaction.atomic():
                context.step("undone", lambda: 1)
                raise ValueError
        except ValueError:
            pass
        with transaction.atomic():
            context.step("kept", lambda: 2)

    run(body, claim := a_claim())
    assert steps_of(claim) == {"kept": 2}


def leave_effect() -> int:
    assert connection.in_atomic_block
    return Effect.objects.create(job_id=Job.objects.earliest("pk").pk).pk


def atomic_story(kind: str, function: Callable[..., Any]) -> Any:
    async def async_body(context):
        return await context.astep("effect", function, atomic=True)

    return (lambda context: context.step("effect", function, atomic=True)) if kind == "def" else async_body


@both
def test_an_atomic_step_and_its_effect_are_there_together(kind):
    claim = start(kind)
    assert run(atomic_story(kind, leave_effect), claim) == Succeeded(str(Effect.objects.get().pk))
    assert steps_of(claim) == {"effect": Effect.objects.get().pk}


@both
def test_an_atomic_step_that_fails_leaves_neither(kind):
    def function():
        leave_effect()
        return object()

    claim = start(kind)
    assert isinstance(run(atomic_story(kind, function), claim), Failed)
    assert (steps_of(claim), Effect.objects.count()) == ({}, 0)


def test_an_atomic_step_is_no_coroutine_function():
    async def function(): ...

    outcome = run(atomic_story("async def", function), a_claim(act_async))
    assert isinstance(outcome, Failed)
    assert "Step 'effect': atomic=True needs a `def`" in outcome.error.message


def test_an_atomic_job_has_no_steps_for_they_would_be_undone_with_it():
    outcome = run(lambda context: context.step("s", lambda: None), a_claim(act_atomically))
    assert isinstance(outcome, Failed)
    assert "execution.steps_atomic is atomic" in outcome.error.message


@pytest.mark.parametrize("atomic", [False, True])
def test_a_worker_that_lost_its_job_keeps_no_step_and_goes_no_further(atomic):
    claim, further = a_claim(), []
    take_away(claim)

    def body(context):
        context.step("effect", lambda: Effect.objects.create(job_id=context.id).pk, atomic=atomic)
        further.append(1)

    outcome = run(body, claim)
    assert isinstance(outcome, Retried)
    assert outcome.error.class_path == "django_jobs.errors.ClaimLost"
    assert (steps_of(claim), further) == ({}, [])
    assert Effect.objects.count() == (0 if atomic else 1)
    assert len(settle("default", [Ended(claim, outcome)]).fenced) == 1


def test_of_two_attempts_that_do_one_step_the_first_one_counts_and_one_effect_is_there():
    """The earlier worker was paused after its step was kept and before it could say so."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite lets nobody write beside a step that has written.")
    first = a_claim()

    def keep_the_same():
        leave_effect()
        other = replace(first)
        with elsewhere(lambda: run(lambda context: context.step("effect", lambda: "first"), other)):
            pass
        return "second"

    assert run(atomic_story("def", keep_the_same), first) == Succeeded('"first"')
    assert (steps_of(first), Effect.objects.count()) == ({"effect": "first"}, 0)


def test_two_that_keep_one_step_at_the_same_time_return_the_same_result():
    claim = a_claim()

    def take(number, barrier):
        def function():
            barrier.wait()
            return number

        return run(lambda context: context.step("who", function), claim)

    outcomes = together(2, take)
    assert outcomes[0] == outcomes[1] == Succeeded(str(steps_of(claim)["who"]))


def test_steps_that_a_changed_function_does_not_ask_for_are_marked_and_named(caplog):
    claim = a_claim()
    outcome = run(story("def", {"old": lambda: 1, "both": lambda: 2}, fails), claim)
    second = again(claim, outcome)
    assert isinstance(run(story("def", {"both": fails, "new": lambda: 3}), second), Succeeded)
    assert {step.name: step.unused for step in Step.objects.all()} == {"old": True, "both": False, "new": False}
    assert "kept steps that its last attempt did not ask for: old. Has the function changed?" in caplog.text
    # The old code is back.
    assert isinstance(run(story("def", {"old": fails, "both": fails, "new": fails}), second), Succeeded)
    assert not Step.objects.filter(unused=True).exists()


def test_an_async_function_that_changed_is_told_of_too(caplog):
    claim = a_claim(act_async)
    outcome = run(story("async def", {"old": lambda: 1}, fails), claim)
    run(story("async def", {"new": lambda: 3}), again(claim, outcome))
    assert "did not ask for: old." in caplog.text


def test_an_attempt_that_failed_marks_nothing(caplog):
    claim = a_claim()
    outcome = run(story("def", {"one": lambda: 1, "two": lambda: 2}, fails), claim)
    run(story("def", {"one": fails}, fails), again(claim, outcome))
    assert not Step.objects.filter(unused=True).exists()
    assert "did not ask for" not in caplog.text


def test_a_retry_by_hand_goes_on_after_the_last_step_unless_told_to_begin_anew(caplog):
    caplog.set_level(logging.CRITICAL)
    claim, done = a_claim(), []
    steps = {"one": lambda: done.append(1)}
    claim = replace(claim, max_attempts=1)
    settle("default", [Ended(claim, run(story("def", steps, fails), claim))])
    assert control.retry(claim.id) == 1
    claim = claim_of(claim.id)
    settle("default", [Ended(claim, run(story("def", steps), claim))])
    assert done == [1]
    assert control.retry(claim.id, reset_steps=True) == 1
    assert steps_of(claim) == {}
    run(story("def", steps), claim_of(claim.id))
    assert done == [1, 1]


def test_a_retry_that_moves_nothing_forgets_no_step():
    claim = a_claim()
    run(story("def", {"one": lambda: 1}), claim)
    assert control.retry(claim.id, reset_steps=True) == 0
    assert steps_of(claim) == {"one": 1}


def test_steps_go_with_their_job():
    claim = a_claim()
    settle("default", [Ended(claim, run(story("def", {"one": lambda: 1}), claim))])
    control.remove(claim.id)
    assert Step.objects.count() == 0


def test_the_key_of_a_step_is_the_same_in_every_attempt_and_no_other_has_it():
    claim, keys = a_claim(), []

    def body(context):
        keys.append((context.step_key("charge"), context.step_key("refund")))

    run(body, claim)
    run(body, replace(claim, attempt=2, starts=2))
    run(body, a_claim())
    assert keys[0] == keys[1]
    assert len({*keys[0], *keys[2]}) == 4
    assert [len(key) for key in keys[0]] == [36, 36]


def test_a_job_without_steps_asks_the_database_nothing(django_assert_num_queries):
    claim = a_claim()
    with django_assert_num_queries(0):
        run(lambda context: None, claim)


def test_a_step_costs_one_statement_and_one_more_for_the_first(django_assert_num_queries):
    claim = a_claim()
    with django_assert_num_queries(4):
        run(story("def", {"one": lambda: 1, "two": lambda: 2, "three": lambda: 3}), claim)
