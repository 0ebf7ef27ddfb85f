"""Assertions about the jobs in the table; a failure tells which jobs are there instead, the nearest first."""

from collections.abc import Iterable
from typing import Any

from django_jobs.conf import get_settings
from django_jobs.models import Job
from django_jobs.testing.matching import Target, Wanted, shown_job

# unittest leaves the frames of such a module out of its tracebacks.
__unittest = True

MOST_SHOWN = 10


def enqueued(target: Target | None = None, /, *args: Any, **kwargs: Any) -> list[Job]:
    """Return the stored jobs, the oldest first, whether they have run since or not.

    Of all functions, or of one: a `@job` or `@task`, with what its `.using()` says; without arguments any call of it.
    """
    jobs = _all_jobs()
    return jobs if target is None else _matching(jobs, Wanted(target, args, kwargs))


def assert_enqueued(target: Target, /, *args: Any, times: int | None = None, **kwargs: Any) -> list[Job]:
    """Assert that a job was enqueued as `target.enqueue(*args, **kwargs)` would have done, and return those that were.

    What `.using()` of the target says is compared too: queue_name, run_after, priority and so on. Without arguments any
    call will do. `times`: exactly so often. Raises AssertionError.
    """
    __tracebackhide__ = True
    jobs, wanted = _all_jobs(), Wanted(target, args, kwargs)
    found = _matching(jobs, wanted)
    if len(found) == times or (times is None and found):
        return found
    much = f"Enqueued {_times(len(found))}, not {_times(times)}" if times is not None else "Not enqueued"
    raise AssertionError(f"{much}: {wanted}\n{_told(jobs, wanted)}")


def assert_nothing_enqueued(target: Target | None = None, /, *args: Any, **kwargs: Any) -> None:
    """Assert that no job was enqueued, or none such as `assert_enqueued` would find. Raises AssertionError."""
    __tracebackhide__ = True
    if target is not None:
        assert_enqueued(target, *args, times=0, **kwargs)
    elif jobs := _all_jobs():
        raise AssertionError(f"Something was enqueued.\n{_told(jobs, None)}")


def _all_jobs() -> list[Job]:
    return list(Job.objects.using(get_settings().DATABASE).order_by("pk"))


def _matching(jobs: Iterable[Job], wanted: Wanted) -> list[Job]:
    return [job for job in jobs if wanted.is_of(job) and not wanted.differences(job)]


def _told(jobs: list[Job], wanted: Wanted | None) -> str:
    """Return the jobs that are there as lines, those first that differ least from what was wanted."""
    if not jobs:
        return "No job is stored at all. Was the transaction rolled back?"
    differences = {job.pk: wanted.differences(job) for job in jobs if wanted is not None and wanted.is_of(job)}
    ranked = sorted(jobs, key=lambda job: (job.pk not in differences, len(differences.get(job.pk, ()))))
    lines = [_line(job, differences.get(job.pk, [])) for job in ranked[:MOST_SHOWN]]
    if len(jobs) > MOST_SHOWN:
        lines.append(f"  and {len(jobs) - MOST_SHOWN:,} more")
    order = ", the nearest first" if wanted is not None and len(jobs) > 1 else ""
    return "\n".join([f"Stored: {_counted(len(jobs), 'job')}{order}:", *lines])


def _line(job: Job, differences: list[str]) -> str:
    return f"  {shown_job(job)}{': ' if differences else ''}{'; '.join(differences)}"


def _times(count: int) -> str:
    return _counted(count, "time")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
