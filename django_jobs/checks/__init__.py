"""System checks: what cannot work is an error, what will disappoint is a warning, each with what to write instead."""

from django.core import checks

from django_jobs.checks.database import check_database
from django_jobs.checks.jobs import check_names, check_timeouts
from django_jobs.checks.settings import check_settings
from django_jobs.checks.transport import check_server, check_transport
from django_jobs.checks.worker import check_worker

__all__ = ["check_worker", "register"]

TAG = "django_jobs"


def register() -> None:
    """Let `manage.py check` ask the questions of this package."""
    checks.register(check_settings, TAG)
    checks.register(check_names, TAG)
    checks.register(check_transport, TAG)
    checks.register(check_server, TAG, deploy=True)
    checks.register(check_timeouts, TAG, deploy=True)
    checks.register(check_database, checks.Tags.database)
