"""One incarnation of a worker process: never reused, dead once and for ever."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.definitions.identifiers import uuid7
from django_jobs.models.row import Row


class Worker(Row):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    supervisor_pid = models.PositiveIntegerField(_("supervisor's process id"), default=0)
    version = models.CharField(_("version"), max_length=50)
    queues = models.JSONField(_("queues"), default=list)
    # The jobs it can run, so that one can see which rows no worker can.
    names = models.JSONField(_("job names"), default=list)
    concurrency = models.PositiveIntegerField(_("concurrency"), default=1)
    # What its sandboxes did a moment ago, of each its "pid", whether it is "ready", and the id of its "job" or None.
    sandboxes = models.JSONField(_("sandboxes"), default=list)
    # What people ask of it. It looks about every second.
    quiet = models.BooleanField(_("quiet"), default=False)
    asked_to = models.CharField(_("asked to"), max_length=10, default="", blank=True)
    started_at = models.DateTimeField(_("started at"))
    beat_at = models.DateTimeField(_("last beat"))
    dead_at = models.DateTimeField(_("dead since"), null=True, blank=True)
    # False for one that said goodbye.
    died = models.BooleanField(_("died"), default=False)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)
        permissions = [
            ("quiet_worker", _("Can quiet and resume workers")),
            ("stop_worker", _("Can stop and restart workers")),
            ("resize_worker", _("Can change the concurrency of workers")),
        ]
        ordering = ["-id"]
        indexes = [
            # Who is alive? Dead rows pile up until they are pruned.
            models.Index(name="django_jobs_worker_dead", fields=("dead_at",)),
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
