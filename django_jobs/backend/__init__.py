"""A backend for Django's Tasks framework: TASKS = {"default": {"BACKEND": "django_jobs.backend.JobsBackend"}}.

A @task is a job like any other: the same rows, workers, admin and commands.
"""

from django_jobs.backend.backend import JobsBackend
from django_jobs.backend.bodies import discover
from django_jobs.backend.tasks import JobTask

__all__ = ["JobTask", "JobsBackend", "discover"]
