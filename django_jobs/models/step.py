"""The record of a step: what a part of a body came to, so that a later attempt need not do it again."""

import json
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.fields import NameField
from django_jobs.models.job import Job
from django_jobs.models.row import Row


class Step(Row):
    job = models.ForeignKey(
        Job,
        verbose_name=_("job"),
        related_name="steps",
        on_delete=models.CASCADE,
        # An open insert with a real foreign key locks the job's row, and SKIP LOCKED would pass the job over.
        db_constraint=False,
        # The unique index begins with it.
        db_index=False,
    )
    name = NameField(_("name"), max_length=200)
    # The attempt that has done it.
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"))
    result_text = models.TextField(_("result"), null=True, blank=True)  # noqa: DJ001 (None: nothing was returned)
    # The last attempt that succeeded did not ask for it: the function has changed since.
    unused = models.BooleanField(_("not used by the last attempt"), default=False)

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        # Whoever may view a job may view its steps.
        default_permissions = ()
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="django_jobs_step_name")]

    def __str__(self) -> str:
        return f"{self.name}"

    @property
    def result(self) -> Any:
        """What the function returned, as JSON gives it back."""
        return None if self.result_text is None else json.loads(self.result_text)
