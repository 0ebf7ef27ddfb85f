"""Jobs that run until they are stopped, each in its own way."""

import asyncio
import os
import threading

from django.db import transaction

from django_jobs import Fixed, JobContext, job
from tests.project.models import Effect


def _begin(context: JobContext) -> None:
    Effect.objects.create(job_id=context.id, worker=str(os.getpid()))


@job(name="stopping.polls", takes_context=True)
def polls(context: JobContext) -> None:
    """Look now and then whether it is still wanted."""
    _begin(context)
    pause = threading.Event()
    while True:
        pause.wait(0.01)
        context.raise_if_cancelled()


@job(name="stopping.waits", takes_context=True)
async def waits(context: JobContext) -> None:
    """Wait for what never comes."""
    await Effect.objects.acreate(job_id=context.id, worker=str(os.getpid()))
    await asyncio.Event().wait()


@job(name="stopping.ignores", takes_context=True)
def ignores(context: JobContext) -> str:
    """See that it is not wanted any more, and finish all the same."""
    _begin(context)
    pause = threading.Event()
    while not context.cancel_requested:
        pause.wait(0.01)
    return "done"


@job(name="stopping.turns", takes_context=True, max_attempts=20, backoff=Fixed(0), timeout=0.5)
def turns(context: JobContext) -> int:
    """Go on for ever in the first attempt. On a slow machine others may take too long as well."""
    while context.attempt == 1:
        sum(range(100))
    return context.attempt


@job(name="stopping.turns_async", takes_context=True, max_attempts=20, backoff=Fixed(0), timeout=0.5)
async def turns_async(context: JobContext) -> int:
    """Wait for ever in the first attempt."""
    if context.attempt == 1:
        await asyncio.Event().wait()
    return context.attempt


@job(name="stopping.hangs", takes_context=True, max_attempts=20, backoff=Fixed(0), timeout=0.5)
def hangs(context: JobContext) -> str:
    """Wait in C for ever in the first attempt."""
    _begin(context)
    if context.attempt == 1:
        door = threading.Lock()
        door.acquire()
        door.acquire()
    return str(os.getpid())


@job(name="stopping.in_a_transaction", takes_context=True, timeout=0.3)
def in_a_transaction(context: JobContext) -> None:
    """Be struck in the middle of a transaction."""
    with transaction.atomic():
        _begin(context)
        while True:
            Effect.objects.exists()
