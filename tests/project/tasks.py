"""Tasks of the test project: jobs that Django's own decorator declares."""

from typing import Any

from asgiref.sync import sync_to_async

from django_jobs import compat, current_job
from tests.project.models import Effect

# Type checkers see Django's Task, which knows nothing of options of jobs.
task: Any = compat.task


@task
def add(first, second):
    return first + second


@task(queue_name="mail")
async def count_effects(more):
    return await Effect.objects.acount() + more


@task(takes_context=True)
def introduce(context):
    result = context.task_result
    return [context.attempt, result.id, result.status, result.args, len(result.worker_ids[-1])]


@task(takes_context=True)
async def succeed_at(context, attempt):
    """Fail in every attempt before that one; tell who ran all of them."""
    await sync_to_async(tell)(f"attempt {context.attempt}")
    if context.attempt < attempt:
        raise ValueError(f"Attempt {context.attempt} is too early.")
    return context.task_result.worker_ids


@task
def give(what):
    return {"set": {1}, "tuple": (1, (2,)), "bytes": b"text"}[what]


@task
def leave(how):
    raise {"exit": SystemExit, "interrupt": KeyboardInterrupt}[how]("now")


def tell(text: str) -> None:
    job: Any = current_job()
    job.log(text)


def undeclared():
    """Nobody has made a task of it."""
