"""The admin: it shows, then calls the verbs of `lifecycle.control`."""

from django_jobs.admin.job import JobAdmin
from django_jobs.admin.queue import QueueAdmin
from django_jobs.admin.worker import WorkerAdmin

__all__ = ["JobAdmin", "QueueAdmin", "WorkerAdmin"]
