"""Metadata as rows, to be looked for: one a fact, and none for jobs without."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.fields import NameField
from django_jobs.models.job import Job
from django_jobs.models.row import Row


class Metadata(Row):
    job = models.ForeignKey(
        Job,
        verbose_name=_("job"),
        related_name="metadata_rows",
        on_delete=models.CASCADE,
        # An open insert with a real foreign key locks the job's row, and SKIP LOCKED would pass the job over.
        db_constraint=False,
    )
    key = NameField(_("key"), max_length=50)
    value = NameField(_("value"), max_length=200)

    class Meta:
        verbose_name = _("metadata")
        verbose_name_plural = _("metadata")
        # Whoever may view the payload of a job may view its metadata.
        default_permissions = ()
        indexes = [models.Index(name="django_jobs_metadata_fact", fields=("key", "value", "job"))]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"
