"""The effects log: one file, to which bodies append a line when they begin and when they end, whatever becomes of them.

It is no table of the database under test, so that a database that forgets, or a job that is written down wrongly,
cannot hide what has really run. A line is one write to a file opened with O_APPEND, so lines never mix.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django_jobs import JobContext

VARIABLE = "DJANGO_JOBS_TEST_EFFECTS"
NO_KEY = "-"
BEGIN, END = "begin", "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a body: which start of the job it was, in which process, and when; `ended` is None if it was cut."""

    job: UUID
    start: int
    pid: int
    key: str
    began: float
    ended: float | None


@contextmanager
def noted(context: JobContext, key: str = NO_KEY) -> Iterator[None]:
    """Write down that the body begins, and that it ends, also if it raises; a process that dies writes nothing."""
    note(BEGIN, context, key)
    try:
        yield
    finally:
        note(END, context, key)


def note(what: str, context: JobContext, key: str = NO_KEY) -> None:
    """Append a line to the log that the environment names."""
    # Wall time: the servers are on this host, and what they record is compared with it.
    line = f"{what} {context.id} {context.starts} {os.getpid()} {key} {time.time():.6f}\n"
    log = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)


class Log:
    """The file as its reader sees it; `mark` says from where on the next `runs` are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._from = 0

    def mark(self) -> None:
        self._from = self.path.stat().st_size

    def runs(self) -> list[Run]:
        """Return what has begun since the mark, in order."""
        runs: list[Run] = []
        open_runs: dict[tuple[str, str, str], int] = {}
        for what, job, start, pid, key, moment in self._lines():
            place = (job, start, pid)
            if what == BEGIN:
                open_runs[place] = len(runs)
                runs.append(
                    Run(job=UUID(job), start=int(start), pid=int(pid), key=key, began=float(moment), ended=None)
                )
            elif place in open_runs:
                number = open_runs.pop(place)
                begun = runs[number]
                runs[number] = Run(
                    job=begun.job, start=begun.start, pid=begun.pid, key=key, began=begun.began, ended=float(moment)
                )
        return runs

    def _lines(self) -> Iterator[list[str]]:
        with self.path.open() as file:
            file.seek(self._from)
            for line in file:
                yield line.split()
