"""The two backends that Django has for tests, for tasks with options of jobs: Django's own refuse such a task."""

from django_jobs import compat
from django_jobs.backend.backend import TakesJobOptions

__all__ = ["DummyBackend", "ImmediateBackend"]


class DummyBackend(TakesJobOptions, compat.DummyBackend):
    """Keeps results in memory and runs nothing."""


class ImmediateBackend(TakesJobOptions, compat.ImmediateBackend):
    """Runs each task where it is enqueued, once. `current_job()` is None there, as outside of any job."""
