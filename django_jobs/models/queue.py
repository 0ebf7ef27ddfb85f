"""What people decided about a queue. A queue without a row has its defaults."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.fields import NameField
from django_jobs.models.row import Row


class Queue(Row):
    name = NameField(_("name"), max_length=100, unique=True)
    paused = models.BooleanField(_("paused"), default=False)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True)

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        default_permissions = ("view",)
        permissions = [
            ("pause_queue", _("Can pause and resume queues")),
            ("drain_queue", _("Can drain queues")),
            ("clean_queue", _("Can clean queues")),
            ("obliterate_queue", _("Can obliterate queues")),
        ]
        ordering = ["name"]

    def __str__(self) -> str:
        return str(self.name)
