"""The book: every job is a row here."""

from django_jobs.models.attempt import Attempt
from django_jobs.models.chore import Chore
from django_jobs.models.job import Job
from django_jobs.models.job_queryset import JobQuerySet
from django_jobs.models.metadata import Metadata
from django_jobs.models.queue import Queue
from django_jobs.models.report import LogLine, Report, SavedData
from django_jobs.models.step import Step
from django_jobs.models.worker import Worker

__all__ = [
    "Attempt",
    "Chore",
    "Job",
    "JobQuerySet",
    "LogLine",
    "Metadata",
    "Queue",
    "Report",
    "SavedData",
    "Step",
    "Worker",
]
