"""Jobs that the tests of the verbs enqueue, claim and end; what they do does not matter."""

from typing import Any

from django_jobs import job
from django_jobs.execution.context import JobContext


@job(name="samples.note")
def note(*args: Any, **kwargs: Any) -> None: ...


@job(name="samples.mail", queue_name="mail", priority=5)
def mail(address: str, copies: int = 1) -> int:
    return copies


@job(name="samples.with_context", takes_context=True)
def with_context(context: JobContext, number: int) -> int:
    return number
