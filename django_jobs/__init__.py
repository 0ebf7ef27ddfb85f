"""Durable background jobs for Django: every job a row in your database, started within milliseconds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_jobs.decorators import JobFunction, job
    from django_jobs.definitions.batches import Batch
    from django_jobs.definitions.deduplication import Deduplicate
    from django_jobs.definitions.keeping import Keep
    from django_jobs.definitions.requests import JobRequest
    from django_jobs.definitions.retries import Exponential, Fixed
    from django_jobs.definitions.sandbox import Sandbox
    from django_jobs.errors import (
        CancelJob,
        GiveUp,
        JobCancelled,
        JobFailed,
        JobTimeout,
        MemoryLimitExceeded,
        RateLimited,
        RetryLater,
        SandboxDied,
        Snooze,
    )
    from django_jobs.execution.context import JobContext, current_job, current_jobs
    from django_jobs.execution.items import BatchItem
    from django_jobs.handles import queues
    from django_jobs.lifecycle.control import cancel, remove, reprioritize, reschedule, retry, run_now
    from django_jobs.lifecycle.enqueueing import aenqueue_many, enqueue_many
    from django_jobs.models import Job

__version__ = "0.1.0.dev0"

# Loaded at first use: what needs models waits for the apps, while a project's own models may import `job` before they
# are ready; and who only asks for the version, or has pytest load its plugins, pays for nothing.
_LAZY = {
    "Batch": "django_jobs.definitions.batches",
    "BatchItem": "django_jobs.execution.items",
    "CancelJob": "django_jobs.errors",
    "Deduplicate": "django_jobs.definitions.deduplication",
    "Exponential": "django_jobs.definitions.retries",
    "Fixed": "django_jobs.definitions.retries",
    "GiveUp": "django_jobs.errors",
    "Job": "django_jobs.models",
    "JobCancelled": "django_jobs.errors",
    "JobContext": "django_jobs.execution.context",
    "JobFailed": "django_jobs.errors",
    "JobFunction": "django_jobs.decorators",
    "JobRequest": "django_jobs.definitions.requests",
    "JobTimeout": "django_jobs.errors",
    "Keep": "django_jobs.definitions.keeping",
    "MemoryLimitExceeded": "django_jobs.errors",
    "RateLimited": "django_jobs.errors",
    "RetryLater": "django_jobs.errors",
    "Sandbox": "django_jobs.definitions.sandbox",
    "SandboxDied": "django_jobs.errors",
    "Snooze": "django_jobs.errors",
    "aenqueue_many": "django_jobs.lifecycle.enqueueing",
    "cancel": "django_jobs.lifecycle.control",
    "current_job": "django_jobs.execution.context",
    "current_jobs": "django_jobs.execution.context",
    "enqueue_many": "django_jobs.lifecycle.enqueueing",
    "job": "django_jobs.decorators",
    "queues": "django_jobs.handles",
    "remove": "django_jobs.lifecycle.control",
    "reprioritize": "django_jobs.lifecycle.control",
    "reschedule": "django_jobs.lifecycle.control",
    "retry": "django_jobs.lifecycle.control",
    "run_now": "django_jobs.lifecycle.control",
}

__all__ = [
    "Batch",
    "BatchItem",
    "CancelJob",
    "Deduplicate",
    "Exponential",
    "Fixed",
    "GiveUp",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobFunction",
    "JobRequest",
    "JobTimeout",
    "Keep",
    "MemoryLimitExceeded",
    "RateLimited",
    "RetryLater",
    "Sandbox",
    "SandboxDied",
    "Snooze",
    "aenqueue_many",
    "cancel",
    "current_job",
    "current_jobs",
    "enqueue_many",
    "job",
    "queues",
    "remove",
    "reprioritize",
    "reschedule",
    "retry",
    "run_now",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
