"""What the body of a job says while it runs, and what it keeps for itself. Beside the job's row, which stays narrow."""

from datetime import datetime
from typing import NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.job import Job
from django_jobs.models.row import Row


class LogLine(NamedTuple):
    """One line that a body logged, when, by the clock of its host, and in which attempt."""

    attempt: int
    logged_at: datetime
    text: str


class Report(Row):
    """Progress and log of a job that says something, written by the worker now and then."""

    job = models.OneToOneField(
        Job,
        primary_key=True,
        verbose_name=_("job"),
        related_name="report",
        on_delete=models.CASCADE,
        # An open insert with a real foreign key locks the job's row, and SKIP LOCKED would pass the job over.
        db_constraint=False,
    )
    # Of the start that wrote last: who lost the job to a later one changes nothing any more.
    fence = models.IntegerField(editable=False)
    progress_text = models.TextField(_("progress"), blank=True, default="")
    # Lines of attempt, time and text, divided by tabs: see `line_text`.
    log_text = models.TextField(_("log"), blank=True, default="")
    # How many older lines were left out, for a log has a largest size.
    dropped = models.PositiveIntegerField(_("lines left out"), default=0)

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        # Whoever may view the payload of a job may view what it says.
        default_permissions = ()

    def __str__(self) -> str:
        return f"report of {self.job_id}"

    @property
    def lines(self) -> list[LogLine]:
        return [read_line(each) for each in self.log_text.split("\n") if each]


class SavedData(Row):
    """What a body keeps for later attempts. Written in its own transaction, so in no row that a worker writes."""

    job = models.OneToOneField(
        Job,
        primary_key=True,
        verbose_name=_("job"),
        related_name="saved_data",
        on_delete=models.CASCADE,
        db_constraint=False,
    )
    fence = models.IntegerField(editable=False)
    text = models.TextField(_("data"))

    class Meta:
        verbose_name = _("saved data")
        verbose_name_plural = _("saved data")
        default_permissions = ()

    def __str__(self) -> str:
        return f"data of {self.job_id}"


def line_text(line: LogLine) -> str:
    """Return a line as it is stored; its text holds no line break."""
    return f"{line.attempt}\t{line.logged_at.isoformat(timespec='milliseconds')}\t{line.text}"


def read_line(stored: str) -> LogLine:
    """Return the line of a text that `line_text` made."""
    attempt, logged_at, text = stored.split("\t", 2)
    return LogLine(int(attempt), datetime.fromisoformat(logged_at), text)
