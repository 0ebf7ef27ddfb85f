"""Tasks of Django's framework. Its stubs know the options of Django alone."""

from django_jobs.compat import TaskContext, task


@task
def greet(name: str) -> str:
    return f"Hello, {name}."


@task(queue_name="mail", priority=3)
def shout(name: str, copies: int = 1) -> str:
    return name.upper() * copies


@task(takes_context=True)
def attempt_of(context: "TaskContext[..., object]", more: int) -> int:
    return context.attempt + more
