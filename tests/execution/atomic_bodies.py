"""Atomic jobs whose bodies do what a test says, with rows and claims of their own."""

from collections.abc import Callable
from typing import Any

from django_jobs import Fixed, job
from django_jobs.definitions.outcomes import Claim, Outcome
from django_jobs.execution.execute import execute
from django_jobs.models import Job
from django_jobs.transitions.claiming import claim_ids
from tests.execution.bodies import current_body
from tests.project.models import Effect
from tests.rows import worker


@job(name="execution.act_atomically", atomic=True, max_attempts=3, backoff=Fixed(5))
def act(*args: Any) -> Any:
    return current_body.get()(*args)


def a_claim(**options: Any) -> Claim:
    enqueued = act.using(**options).enqueue()
    (claim,) = claim_ids("default", worker(), [enqueued.pk], [act.name])
    return claim


def run(body: Callable[..., Any], claim: Claim | None = None) -> Outcome:
    token = current_body.set(body)
    try:
        return execute(claim or a_claim())
    finally:
        current_body.reset(token)


def leave_effect() -> str:
    Effect.objects.create(job_id=Job.objects.earliest("pk").pk)
    return "done"
