"""Jobs that run in a sandbox, and what can befall them there."""

import asyncio
import ctypes
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque

from asgiref.sync import sync_to_async

from django_jobs import Fixed, JobContext, Sandbox, current_job, job
from tests.project.models import Effect


def note(context: JobContext) -> None:
    """Tell that the body has begun, and where."""
    Effect.objects.create(job_id=context.id, worker=str(os.getpid()))


class Refused(Exception):
    """What a job here raises and may be retried on."""


@job(sandbox=True)
def where(value: object = None) -> list[object]:
    """Return the process that this runs in."""
    return [os.getpid(), value]


@job(sandbox=True)
async def where_async(value: object = None) -> list[object]:
    return [os.getpid(), value]


@job(sandbox=True)
def sleep_on(seconds: float) -> int:
    """Sleep; less than no time: stay awake for ever."""
    while seconds < 0:
        sum(range(100))
    time.sleep(seconds)
    return os.getpid()


@job(sandbox=Sandbox(max_jobs=1))
def alone() -> int:
    return os.getpid()


@job(sandbox=True)
def die(how: str) -> None:
    match how:
        case "SIGSEGV":
            ctypes.string_at(0)
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        case status:
            os._exit(int(status))


@job(sandbox=True, takes_context=True, max_attempts=3, backoff=Fixed(0))
def die_at_first(context: JobContext) -> int:
    if context.attempt == 1:
        os._exit(9)
    return context.attempt


@job(sandbox=True, max_attempts=5, backoff=Fixed(0), retry_on=Refused)
def die_in_vain() -> None:
    os._exit(9)


@job(sandbox=True, takes_context=True, max_attempts=5, backoff=Fixed(0), retry_on=Refused)
def refuse(context: JobContext, error: str) -> None:
    note(context)
    raise {"Refused": Refused, "ValueError": ValueError}[error]("No.")


@job(sandbox=Sandbox(memory_megabytes=300), max_attempts=1)
def fill(megabytes: int) -> int:
    kept = [bytes([1]) * 2**20 for _ in range(megabytes)]
    time.sleep(1)
    return len(kept)


@job(sandbox=Sandbox(grace_seconds=0.3), takes_context=True)
def hang(context: JobContext, notes: bool = True) -> None:
    """Stay in C code that never returns, holds the interpreter and hears no signal."""
    if notes:
        note(context)
    deque(itertools.repeat(None), maxlen=0)


@job(sandbox=Sandbox(grace_seconds=0.3), takes_context=True)
def sleep(context: JobContext, notes: bool = True) -> None:
    """Wait in C code, and say what was interrupted."""
    if notes:
        note(context)
    try:
        threading.Event().wait(600)
    finally:
        context.log("tidied up")


@job(sandbox=Sandbox(grace_seconds=0.3), takes_context=True)
def insist(context: JobContext, notes: bool = True) -> None:
    """Go on, whatever comes."""
    if notes:
        note(context)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            context.log("no")


@job(sandbox=True, takes_context=True)
def turn(context: JobContext, notes: bool = True) -> None:
    """Go on in Python until something is raised."""
    if notes:
        note(context)
    while True:
        sum(range(100))


@job(sandbox=True, takes_context=True)
def poll(context: JobContext) -> None:
    note(context)
    while True:
        time.sleep(0.01)
        context.raise_if_cancelled()


@job(sandbox=True, takes_context=True)
async def wait_async(context: JobContext, notes: bool = True) -> None:
    if notes:
        await sync_to_async(note)(context)
    try:
        await asyncio.Event().wait()
    finally:
        context.log("tidied up")


@job(sandbox=True, takes_context=True)
def talk(context: JobContext) -> None:
    """Say things in every way there is, in order."""
    print("print")
    sys.stderr.write("stderr\n")
    context.log("context\nin two lines")
    os.write(1, b"native \xff\n")
    subprocess.run([sys.executable, "-c", "print('subprocess')"], check=True)
    logging.getLogger("tests.sandboxed").warning("logging")
    print("no end", end="")
    context.log("context again")
    print("last", end="")


@job(sandbox=True, takes_context=True)
def talk_and_die(context: JobContext) -> None:
    context.progress(3, 4, "nearly")
    context.log("before the end")
    print("printed before the end")
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGSEGV)


@job(sandbox=True, takes_context=True, max_attempts=2, backoff=Fixed(0))
def remember(context: JobContext) -> dict[str, object]:
    """Save, step and fail in the first attempt; return what the second one finds."""
    made = context.step("make", os.getpid)
    if context.attempt == 1:
        context.save({"made": made})
        raise Refused("Once more.")
    job = current_job()
    assert job is not None
    return {"data": context.data, "made": made, "id": str(job.id)}


@job(sandbox=True, takes_context=True, max_attempts=2, backoff=Fixed(0))
async def remember_async(context: JobContext) -> dict[str, object]:
    made = await context.astep("make", os.getpid)
    if context.attempt == 1:
        await context.asave({"made": made})
        raise Refused("Once more.")
    return {"data": await context.adata(), "made": made, "id": str(context.id)}


@job(sandbox=True, takes_context=True, atomic=True)
def leave_one_effect(context: JobContext, how: str) -> str:
    note(context)
    if how == "fail":
        raise ValueError("Undo it.")
    if how == "die":
        os._exit(3)
    return "done"


@job(sandbox=True, takes_context=True)
def stay(context: JobContext, gate: str) -> int:
    """Tell how far it is, then run until a file is there."""
    context.progress(1, 2, "half")
    context.log("half")
    note(context)
    while not os.path.exists(gate):
        time.sleep(0.01)
    return os.getpid()


@job(sandbox=True)
def leave_a_process() -> int:
    """Start a process and do not wait for it."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid
