"""Jobs that keep a ledger of themselves, and jobs that take their worker down."""

import asyncio
import fcntl
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from django_jobs import Fixed, JobContext, job
from django_jobs.models import Job
from tests.project.models import Effect

# A deploy can be broken in the workers alone: they die while they import this, as long as the file is there.
if sys.argv[0] == "-c" and (broken := os.environ.get("DJANGO_JOBS_TEST_BROKEN")) and Path(broken).exists():
    with Path(broken).open("a") as file:
        file.write(f"{time.monotonic()}\n")
    raise RuntimeError("This deploy is broken.")


def note(context: JobContext, what: str) -> int:
    """Write into the ledger that a body has begun or ended in this process; return the fence that its row has now."""
    Effect.objects.create(job_id=context.id, worker=f"{os.getpid()} {what} {context.starts}")
    return Job.objects.values_list("fence", flat=True).get(pk=context.id)


async def anote(context: JobContext, what: str) -> int:
    return await sync_to_async(note)(context, what)


@job(takes_context=True)
def work(context: JobContext, seconds: float) -> int:
    fence = note(context, "begins")
    time.sleep(seconds)
    note(context, "ends")
    return fence


@job(takes_context=True)
async def work_async(context: JobContext, seconds: float) -> int:
    fence = await anote(context, "begins")
    await asyncio.sleep(seconds)
    await anote(context, "ends")
    return fence


@job(takes_context=True, max_attempts=3, backoff=Fixed(0.05))
def stumble(context: JobContext, seconds: float, successful_attempt: int) -> int:
    """Fail in every attempt before that one."""
    fence = note(context, "begins")
    time.sleep(seconds)
    if context.attempt < successful_attempt:
        raise ValueError(f"Attempt {context.attempt} fails, as was wished.")
    note(context, "ends")
    return fence


@job(takes_context=True, atomic=True)
def leave_one_effect(context: JobContext, seconds: float) -> int:
    """Leave an effect that is there if, and only if, this attempt has ended the job."""
    Effect.objects.create(job_id=context.id, worker=f"{os.getpid()} {context.starts}")
    time.sleep(seconds)
    return context.starts


class Trap:
    """Kill this process at the n-th point that is passed: before and after each statement, and where a body says so."""

    def __init__(self, context: JobContext, point: int) -> None:
        self.passed, self._point = 0, point if context.starts == 1 else 0

    def pass_by(self) -> None:
        self.passed += 1
        if self.passed == self._point:
            os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        self.pass_by()
        result = execute(sql, parameters, many, context)
        self.pass_by()
        return result


@job(takes_context=True)
def four_steps(context: JobContext, point: int) -> int:
    """Do steps 1 and 3 outside of any transaction, 2 and 4 together with their effects."""
    trap = Trap(context, point)
    with connection.execute_wrapper(trap):
        for number in (1, 2, 3, 4):
            context.step(f"step {number}", note, context, f"step {number}", atomic=number % 2 == 0)
    trap.pass_by()
    return trap.passed


@job(takes_context=True)
async def four_async_steps(context: JobContext, point: int) -> int:
    trap = Trap(context, point)

    async def step(number: int) -> None:
        trap.pass_by()
        await anote(context, f"step {number}")
        trap.pass_by()

    for number in (1, 2, 3, 4):
        trap.pass_by()
        await context.astep(f"step {number}", step, number)
    trap.pass_by()
    return trap.passed


@job(takes_context=True)
def poison(context: JobContext) -> None:
    """Kill the process that runs this."""
    note(context, "begins")
    os.kill(os.getpid(), signal.SIGKILL)


@job(takes_context=True)
def leave(context: JobContext, status: int) -> None:
    """End the process that runs this, past every handler."""
    note(context, "begins")
    os._exit(status)


@job
def rest(seconds: float) -> None:
    """Ask nothing of the database."""
    time.sleep(seconds)


@job(takes_context=True)
def stay(context: JobContext, gate: str) -> None:
    """Run until nobody holds the lock of a file any more."""
    note(context, "begins")
    with open(gate) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    note(context, "ends")


@job(takes_context=True)
async def stay_async(context: JobContext, gate: str) -> None:
    """Run until cancelled."""
    await anote(context, "begins")
    await asyncio.Event().wait()


@job(takes_context=True)
def hog(context: JobContext) -> None:
    """Keep the interpreter for minutes, so that the process does nothing else and hears no signal."""
    note(context, "begins")
    re.match(r"(a+)+$", "a" * 40 + "b")


@job
async def hold_up(seconds: float) -> None:
    """Do what an async job must not: hold up the loop, and all others on it."""
    time.sleep(seconds)
