"""The history of a job, in the words of Django's TaskResult."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_jobs.errors import JobCancelled, JobFailed
from django_jobs.states import State

if TYPE_CHECKING:
    from django_jobs.models.attempt import Attempt
    from django_jobs.models.job import Job


@dataclass(frozen=True, slots=True)
class JobError:
    """An error of a job, without the `exception_class` of a TaskError: nothing is imported because a row names it."""

    exception_class_path: str
    traceback: str


def attempts(job: "Job") -> "list[Attempt]":
    """Return the records that are kept of its attempts. Only a job that has begun can have any."""
    return list(job.attempts.all()) if job.starts else []


def worker_ids(job: "Job", attempts: "Sequence[Attempt]") -> list[str]:
    """Return one for each attempt; an empty text where no record of the attempt is kept."""
    known = {each.number: str(each.worker or "") for each in attempts}
    if job.owner is not None:
        known[job.attempt] = str(job.owner)
    return [known.get(number, "") for number in range(1, job.attempt + 1)]


def errors(job: "Job", attempts: "Sequence[Attempt]") -> list[JobError]:
    """Return the errors of its attempts, and what ended it if that was none of them."""
    found = [JobError(each.error_class, each.traceback) for each in attempts if each.error_class]
    kind = JobCancelled if job.state == State.CANCELLED else JobFailed
    if job.state == State.CANCELLED or (job.state == State.FAILED and not (attempts and attempts[-1].error_class)):
        path = f"{kind.__module__}.{kind.__qualname__}"
        found.append(JobError(path, f"{path}: {job.error}\n"))
    return found
