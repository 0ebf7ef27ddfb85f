"""What a job says, for a terminal and for machines: as it stands, and followed while the job runs."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django_jobs.conf import get_settings
from django_jobs.definitions.progress import Progress
from django_jobs.definitions.redaction import shown_data
from django_jobs.management.tables import line
from django_jobs.models import Job, LogLine

TAIL_LINES = 10
LOOK_SECONDS = 1.0

# One thing that a job said.
Said = dict[str, Any]


def report_details(job: Job) -> dict[str, Any]:
    """Return progress, log and data of a job for machines."""
    progress = job.progress
    return {
        "progress": None if progress is None else progress._asdict(),
        "log": [each._asdict() for each in job.log],
        "data": shown_data(job.name, job.data),
    }


def follow(id: UUID, pause: Callable[[float], object]) -> Iterator[Said]:
    """Yield what a job has logged last and what it says from now on, until it has ended; then its state."""
    seen = None
    last_progress = None
    while True:
        job = Job.objects.using(get_settings().DATABASE).select_related("report").filter(pk=id).first()
        if job is None:
            yield {"ended": "removed"}
            return
        lines = job.log
        dropped = job.report.dropped if lines else 0
        if seen is None:
            seen = max(dropped + len(lines) - TAIL_LINES, 0)
        for each in lines[max(seen - dropped, 0) :]:
            yield each._asdict()
        seen = max(seen, dropped + len(lines))
        if job.progress not in (None, last_progress):
            last_progress = job.progress
            yield {"progress": last_progress._asdict()}
        if job.is_finished:
            yield {"ended": str(job.state)}
            return
        pause(LOOK_SECONDS)


def spoken(said: Said) -> str:
    """Return one thing that a job said as a line of a terminal."""
    if "ended" in said:
        return f"The job has ended: {said['ended']}." if said["ended"] != "removed" else "The job was removed."
    if "progress" in said:
        return progress_line(Progress(**said["progress"]))
    return log_line(LogLine(**said))


def log_line(logged: LogLine) -> str:
    return f"{logged.logged_at:%H:%M:%S} [{logged.attempt}] {line(logged.text)}"


def progress_line(progress: Progress) -> str:
    fraction, total = progress.fraction, progress.total
    share = "" if fraction is None else f"{int(fraction * 100)} %, "
    of = "" if total is None else f" of {total:,}"
    return f"{share}{line(progress.current)}{of} {line(progress.message) if progress.message else ''}".rstrip()
