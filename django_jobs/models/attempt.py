"""The record of an attempt, kept for every job whose first attempt did not succeed."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.job import Job
from django_jobs.models.row import Row


class Attempt(Row):
    job = models.ForeignKey(
        Job,
        verbose_name=_("job"),
        related_name="attempts",
        on_delete=models.CASCADE,
        # An open insert with a real foreign key locks the job's row, and SKIP LOCKED would pass the job over.
        db_constraint=False,
    )
    number: "models.Field[int, int]" = models.PositiveSmallIntegerField(_("attempt"))
    worker = models.UUIDField(_("worker"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"))
    outcome: "models.Field[str, str]" = models.CharField(_("outcome"), max_length=20)
    error_class: "models.Field[str, str]" = models.CharField(_("error class"), max_length=300, blank=True, default="")
    message: "models.Field[str, str]" = models.TextField(_("message"), blank=True, default="")
    traceback: "models.Field[str, str]" = models.TextField(_("traceback"), blank=True, default="")

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        # Whoever may view a job may view its attempts.
        default_permissions = ()
        ordering = ["id"]
        indexes = [models.Index(name="django_jobs_attempt_error", fields=("error_class", "job"))]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.outcome}"
