"""Jobs that write down what they do, for workers to which everything happens."""

import asyncio
import ctypes
import os
import signal
import threading
import time
from importlib import import_module

from django_jobs import Fixed, JobContext, Snooze, job
from tests.acceptance.faults.effects import BEGIN, END, NO_KEY, note
from tests.project.models import Effect

# What is wrong with some of the workers alone: a module that spoils them.
if spoiled := os.environ.get("DJANGO_JOBS_TEST_SPOILED"):
    import_module(spoiled)

# The transaction of an atomic body may be lost with the database, which is an attempt that failed.
MANY_ATTEMPTS = 50


@job(takes_context=True)
def plain(context: JobContext, seconds: float, key: str = NO_KEY) -> int:
    """Ask nothing of the database, so that nothing but the worker's own work can go wrong."""
    note(BEGIN, context, key)
    time.sleep(seconds)
    note(END, context, key)
    return context.starts


@job(takes_context=True)
async def plain_async(context: JobContext, seconds: float) -> int:
    note(BEGIN, context)
    await asyncio.sleep(seconds)
    note(END, context)
    return context.starts


@job(takes_context=True, max_attempts=3, backoff=Fixed(0.05))
def stumble(context: JobContext, seconds: float, successful_attempt: int) -> int:
    """Fail in every attempt before that one."""
    note(BEGIN, context)
    time.sleep(seconds)
    note(END, context)
    if context.attempt < successful_attempt:
        raise ValueError(f"Attempt {context.attempt} fails, as was wished.")
    return context.starts


@job(takes_context=True)
def snooze_once(context: JobContext, seconds: float) -> int:
    note(BEGIN, context)
    time.sleep(seconds)
    note(END, context)
    if context.starts == 1:
        raise Snooze(0.05)
    return context.starts


@job(takes_context=True, atomic=True, max_attempts=MANY_ATTEMPTS, backoff=Fixed(0.2))
def leave_one_effect(context: JobContext, seconds: float) -> int:
    """Leave an effect that is there if, and only if, this attempt has ended the job."""
    note(BEGIN, context)
    Effect.objects.create(job_id=context.id, worker=f"{os.getpid()} {context.starts}")
    time.sleep(seconds)
    note(END, context)
    return context.starts


@job(takes_context=True)
def poison(context: JobContext) -> None:
    """Kill the process that runs this."""
    note(BEGIN, context)
    os.kill(os.getpid(), signal.SIGKILL)


@job(takes_context=True)
def kill_when_over(context: JobContext, seconds: float) -> int:
    """End well, and kill the process so much later: before the outcome is written down, or just after."""
    note(BEGIN, context)
    if context.starts == 1:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    note(END, context)
    return context.starts


@job(takes_context=True)
def hold_the_interpreter(context: JobContext, seconds: float) -> int:
    """Let no other thread of the process run for so long."""
    note(BEGIN, context)
    # PyDLL does not release the interpreter's lock, as CDLL does.
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    note(END, context)
    return context.starts
