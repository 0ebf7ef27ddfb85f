"""What `manage.py check` says of some DJANGO_JOBS."""

import pytest
from django.core.checks import run_checks


def said(*, deploy=False, databases=None):
    """Return our own messages."""
    messages = run_checks(include_deployment_checks=deploy, databases=databases)
    return [each for each in messages if str(each.id).startswith("django_jobs.")]


@pytest.fixture
def ids(settings):
    """Give `ids(**options)`, the ids of what is said with this DJANGO_JOBS; `deploy`: with --deploy."""

    def ids(*, deploy=False, **options):
        settings.DJANGO_JOBS = options
        return {each.id.removeprefix("django_jobs.") for each in said(deploy=deploy)}

    return ids


@pytest.fixture
def message(settings):
    """Give `message(**options)`, the one thing that is said, with its hint."""

    def message(*, deploy=False, **options):
        settings.DJANGO_JOBS = options
        (only,) = said(deploy=deploy)
        return f"{only.msg} {only.hint}"

    return message
