"""Jobs whose bodies do what a test says, and claims of them."""

import asyncio
import json
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from django_jobs import Fixed, job
from django_jobs.definitions.outcomes import Claim, Outcome
from django_jobs.definitions.retries import Backoff, to_text
from django_jobs.execution.execute import aexecute, execute

ENQUEUED = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

# What the body of the next execution does; it gets the arguments of the call.
current_body: ContextVar[Callable[..., Any]] = ContextVar("current_body")


@job(name="execution.act")
def act(*args, **kwargs):
    return current_body.get()(*args, **kwargs)


@job(name="execution.act_async")
async def act_async(*args, **kwargs):
    value = current_body.get()(*args, **kwargs)
    return await value if asyncio.iscoroutine(value) else value


@job(name="execution.with_context", takes_context=True)
def with_context(context, *args, **kwargs):
    return current_body.get()(context, *args, **kwargs)


@job(name="execution.with_backoff", backoff=lambda error, context: current_body.get()(error, context))
def with_backoff(*args):
    raise LookupError("once more")


@job(name="execution.choosy", retry_on=(LookupError, TimeoutError), no_retry_on=KeyError)
def choosy():
    return current_body.get()()


@job(name="execution.stubborn", no_retry_on=[ValueError])
async def stubborn():
    return current_body.get()()


@job(name="execution.adds")
def adds(one, two=2):
    return one + two


FIVE_SECONDS = Fixed(5)
ASYNC = (act_async.name, stubborn.name)


def claim(function=act, *args, attempt=1, max_attempts=3, backoff: Backoff | None = FIVE_SECONDS, **kwargs) -> Claim:
    return Claim(
        id=uuid4(),
        name=function.name,
        queue_name="default",
        rank=1,
        fence=1,
        attempt=attempt,
        starts=7,
        max_attempts=max_attempts,
        owner=uuid4(),
        arguments=json.dumps([args, kwargs]),
        backoff=to_text(backoff),
        enqueued=ENQUEUED.timestamp(),
    )


def run(body: Callable[..., Any], given: Claim | None = None) -> Outcome:
    token = current_body.set(body)
    try:
        given = given or claim()
        return asyncio.run(aexecute(given)) if given.name in ASYNC else execute(given)
    finally:
        current_body.reset(token)


def raises(error: BaseException) -> Callable[..., Any]:
    def body(*args, **kwargs):
        raise error

    return body


KINDS = pytest.mark.parametrize("function", [act, act_async], ids=["def", "async def"])
