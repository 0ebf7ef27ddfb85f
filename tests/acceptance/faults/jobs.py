"""Jobs that write down what they do, for workers to which everything happens."""

import asyncio
import ctypes
import os
import signal
import threading
import time
from importlib import import_module

from django_jobs import Fixed, JobContext, Snooze, job
from tests.acceptance.faults.effects import BEGIN, NO_KEY, note, noted
from tests.project.models import Effect

# What is wrong with some of the workers alone: a module that spoils them.
if spoiled := os.environ.get("DJANGO_JOBS_TEST_SPOILED"):
    import_module(spoiled)

# The transaction of an atomic body may be lost with the database, which is an attempt that failed.
MANY_ATTEMPTS = 50


@job(takes_context=True)
def plain(context: JobContext, seconds: float, key: str = NO_KEY) -> int:
    """Ask nothing of the database, so that nothing but the worker's own work can go wrong."""
    with noted(context, key):
        time.sleep(seconds)
    return context.starts


@job(takes_context=True)
async def plain_async(context: JobContext, seconds: float) -> int:
    with noted(context):
        await asyncio.sleep(seconds)
    return context.starts


@job(takes_context=True, max_attempts=3, backoff=Fixed(0.05))
def stumble(context: JobContext, seconds: float, successful_attempt: int) -> int:
    """Fail in every attempt before that one."""
    with noted(context):
        time.sleep(seconds)
    if context.attempt < successful_attempt:
        raise ValueError(f"Attempt {context.attempt} fails, as was wished.")
    return context.starts


@job(takes_context=True)
def snooze_once(context: JobContext, seconds: float) -> int:
    with noted(context):
        time.sleep(seconds)
    if context.starts == 1:
        raise Snooze(0.05)
    return context.starts


@job(takes_context=True, atomic=True, max_attempts=MANY_ATTEMPTS, backoff=Fixed(0.2))
def leave_one_effect(context: JobContext, seconds: float) -> int:
    """Leave an effect that is there if, and only if, this attempt has ended the job."""
    with noted(context):
        Effect.objects.create(job_id=context.id, worker=f"{os.getpid()} {context.starts}")
        time.sleep(seconds)
    return context.starts


@job(takes_context=True)
def poison(context: JobContext) -> None:
    """Kill the process that runs this."""
    note(BEGIN, context)
    os.kill(os.getpid(), signal.SIGKILL)


@job(takes_context=True)
def kill_when_over(context: JobContext, seconds: float) -> int:
    """End well, and kill the process so much later: before the outcome is written down, or just after."""
    with noted(context):
        if context.starts == 1:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return context.starts


@job(takes_context=True)
def hold_the_interpreter(context: JobContext, seconds: float) -> int:
    """Let no other thread of the process run for so long."""
    with noted(context):
        # PyDLL does not release the interpreter's lock, as CDLL does.
        ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    return context.starts
