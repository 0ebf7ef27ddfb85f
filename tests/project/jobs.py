"""Jobs of the test project."""

import fcntl
import itertools
import os
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.db.backends.signals import connection_created

from django_jobs import CancelJob, Fixed, GiveUp, JobContext, RetryLater, Snooze, job
from tests.project.models import Effect

# Code that only some workers have: a newer version in a deploy, or a module that a test writes.
for name in os.environ.get("DJANGO_JOBS_TEST_IMPORTS", "").split():
    import_module(name)

_connection_numbers = itertools.count(1)
_hoard: list[bytes] = []
_meetings: dict[int, threading.Barrier] = {}
STEERING = {
    "retry later": lambda: RetryLater(0, "Not yet."),
    "snooze": lambda: Snooze(0),
    "give up": lambda: GiveUp("No use."),
    "cancel": lambda: CancelJob("Not needed."),
}


def number_connection(connection: Any, **kwargs: Any) -> None:
    connection.number = next(_connection_numbers)


connection_created.connect(number_connection, dispatch_uid="tests.project.jobs")


@job(takes_context=True)
def leave_effect(context: JobContext) -> None:
    Effect.objects.create(job_id=context.id, worker=str(os.getpid()))


@job(takes_context=True)
def leave_effect_slowly(context: JobContext, seconds: float) -> None:
    Effect.objects.create(job_id=context.id, worker=str(os.getpid()))
    time.sleep(seconds)


@job(takes_context=True, queue_name="mail")
async def leave_effect_async(context: JobContext) -> None:
    await Effect.objects.acreate(job_id=context.id, worker=str(os.getpid()))


@job
def add(first: int, second: int) -> int:
    return first + second


@job
def hoard(megabytes: int) -> int:
    """Keep so much memory as long as the process lives."""
    _hoard.append(b"x" * (megabytes * 1024 * 1024))
    return len(_hoard[-1]) // 1024 // 1024


@job
def fail(message: str) -> None:
    raise ValueError(message)


@job
def read(path: str) -> str:
    """Fail until somebody has put the file there."""
    return Path(path).read_text()


@job(takes_context=True, max_attempts=3, backoff=Fixed(0))
def succeed_at(context: JobContext, attempt: int) -> int:
    """Fail in every attempt before that one."""
    if context.attempt < attempt:
        raise ValueError(f"Attempt {context.attempt} is too early.")
    return context.attempt


@job(takes_context=True, max_attempts=3)
def steer(context: JobContext, how: str) -> int:
    """Raise at the first start, succeed at the next."""
    if context.starts == 1:
        raise STEERING[how]()
    return context.attempt


@job
def chain(links: int) -> None:
    """Enqueue the next link from inside this one."""
    if links > 1:
        chain.enqueue(links - 1)


def stay_at(context: JobContext, gate: str) -> None:
    Effect.objects.create(job_id=context.id, worker=str(os.getpid()))
    with open(gate) as file:
        fcntl.flock(file, fcntl.LOCK_SH)


@job(takes_context=True)
def wait_at(context: JobContext, gate: str) -> None:
    """Leave an effect, then run until nobody holds the lock of a file any more."""
    stay_at(context, gate)


@job(takes_context=True)
def talk_at(context: JobContext, gate: str) -> None:
    """Say something, save something, and say the rest when nobody holds the lock of a file any more."""
    context.save({"effects": 1})
    context.progress(1, 2, "begun")
    context.log("begun")
    stay_at(context, gate)
    context.progress(2, 2, "over")
    context.log("over")


@job(takes_context=True)
async def talk_at_async(context: JobContext, gate: str) -> None:
    await context.asave({"effects": (await context.adata()).get("effects", 0) + 1})
    context.progress(1, 2, "begun")
    context.log("begun")
    await sync_to_async(stay_at)(context, gate)
    context.progress(2, 2, "over")
    context.log("over")


@job
def meet(size: int) -> None:
    """Run until so many of these jobs run in this process at once."""
    _meetings.setdefault(size, threading.Barrier(size)).wait(30)


@job
async def meet_async(size: int) -> bool:
    """Ask the database, then meet the others, in sync parts that would hold each other up in one thread."""
    known = await Effect.objects.aexists()
    await sync_to_async(meet)(size)
    return known


@job
def which_connection() -> str:
    Effect.objects.exists()
    return f"{os.getpid()}: {connection.number}"  # type: ignore[attr-defined]


@job
async def which_connection_async() -> str:
    return str(await sync_to_async(which_connection)())
