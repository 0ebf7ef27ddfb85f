"""Periodic upkeep: one guarded UPDATE of its row says which worker does it now."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.row import Row


class Chore(Row):
    name = models.CharField(_("name"), max_length=150, primary_key=True)
    due_at = models.DateTimeField(_("due at"))

    class Meta:
        verbose_name = _("chore")
        verbose_name_plural = _("chores")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
